"""`qwen-runtime weights distribute`: schedules the transfers of a model to many hosts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_runtime.cli.common import Commands, Options, above_zero, add, positive
from qwen_runtime.errors import UsageError

if TYPE_CHECKING:
    from qwen_runtime.weights.distribute import Outcome, Schedule, Site

FAN_OUT = 2
BYTES_PER_GBIT = 1e9 / 8


def add_to(actions: Commands) -> None:
    command = add(
        actions, "distribute", run, "schedule the transfers of a model to many hosts, and simulate their duration"
    )
    command.add_argument("hosts", nargs="*", metavar="HOST", help="in the order in which they get it")
    command.add_argument("--count", type=positive, metavar="N", help="instead of names: host-001 ... host-N")
    command.add_argument(
        "--fan-out",
        type=positive,
        default=FAN_OUT,
        metavar="N",
        help="hosts that a host feeds at a time (default: %(default)s)",
    )
    command.add_argument(
        "--mirror-fan-out",
        type=positive,
        default=2,
        metavar="N",
        help="hosts that the mirror feeds (default: %(default)s)",
    )
    size = command.add_mutually_exclusive_group()
    size.add_argument(
        "--size-gb", type=above_zero, default=482.0, metavar="GB", help="size of the model (default: %(default)g)"
    )
    size.add_argument("--weights", type=Path, metavar="DIR", help="instead of --size-gb: a model directory")
    command.add_argument(
        "--host-gbit",
        type=above_zero,
        default=25.0,
        metavar="G",
        help="a host's link (default: %(default)g Gbit/s)",
    )
    command.add_argument(
        "--mirror-gbit",
        type=above_zero,
        default=10.0,
        metavar="G",
        help="the mirror's (default: %(default)g Gbit/s)",
    )
    command.add_argument("--json", action="store_true")


def run(options: Options) -> None:
    from qwen_runtime import weights
    from qwen_runtime.weights import distribute
    from qwen_runtime.weights.progress import duration, gigabytes

    hosts = _hosts(options)
    schedule = distribute.schedule(hosts, options.fan_out, options.mirror_fan_out)
    size_bytes = weights.read_manifest(options.weights).size_bytes if options.weights else options.size_gb * 1e9
    site = distribute.Site(size_bytes, options.host_gbit * BYTES_PER_GBIT, options.mirror_gbit * BYTES_PER_GBIT)
    outcome = distribute.simulate(schedule, site)
    alone_s = distribute.from_mirror_seconds(len(hosts), site)
    if options.json:
        print(json.dumps(_document(schedule, site, outcome, alone_s), indent=1))
        return
    for number, round_ in enumerate(schedule.rounds, 1):
        print(f"round {number}: " + ", ".join(f"{transfer.giver} > {transfer.taker}" for transfer in round_))
    print(
        f"{gigabytes(size_bytes)} to {len(hosts)} hosts: {duration(outcome.seconds)} in {len(schedule.rounds)} rounds"
    )
    print(f"{duration(alone_s)} if all took it from the mirror at once")


def _hosts(options: Options) -> list[str]:
    hosts = options.hosts or [f"host-{number:03}" for number in range(1, (options.count or 0) + 1)]
    if not hosts or (options.hosts and options.count) or len(set(hosts)) < len(hosts) or "mirror" in hosts:
        raise UsageError(
            f"hosts {' '.join(hosts) or 'missing'}",
            "different names, none of them 'mirror', or --count",
            "Name the hosts that need the model, or give their number.",
        )
    return hosts


def _document(schedule: Schedule, site: Site, outcome: Outcome, alone_s: float) -> dict[str, object]:
    return {
        "rounds": [
            [{"from": transfer.giver, "to": transfer.taker} for transfer in round_] for round_ in schedule.rounds
        ],
        "neighbours": schedule.neighbours(),
        "fan_out": schedule.fan_out,
        "mirror_fan_out": schedule.mirror_fan_out,
        "site": asdict(site),
        "simulated": {
            "seconds": outcome.seconds,
            "seconds_all_from_mirror": alone_s,
            "mirror_bytes": outcome.mirror_bytes,
            "most_uploads": outcome.most_uploads,
            "finished_s": outcome.finished_s,
        },
    }
