"""Start to ready of engine vllm: what the supervisor adds to vLLM's own start, and what a kept compile cache saves.

    make contract                                # installs the serving environment once; `make up` converts the model
    make bench BENCH=engine_start [ARGS="--rounds 2 --without-plain"]

In every start of ours two spans are the supervisor's: until it has started the engine, and from the engine's first
good answer until it says ready; they are measured in that very start, so that a busy machine blurs nothing. A round is
one start with an empty `--compile-cache`, one with what that start has kept there, as in two pods of a host, and one
of plain `vllm serve` with the same compiled code. Expected: the supervisor adds at most 2 s, and a kept cache starts in
at most half the time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qwen_runtime.engine.spec import CACHES

from tests.bench.arms import machine, model
from tests.bench.arms.server import ENVIRONMENT
from tests.support.client import Client
from tests.support.ports import free_port
from tests.support.server import Process
from tests.support.waiting import wait_for_engine

EXPECTED_ADDED_S, EXPECTED_SHARE = 2.0, 0.5


class Timed:
    """One start of a server, and the times of its events."""

    def __init__(self, log: Path, port: int, *command: object, **environment: str) -> None:
        self.port, self._started = port, time.perf_counter()
        flags = ("--max-model-len", model.CONTEXT, "--dtype", "bfloat16", "--port", port)
        self.process = Process(log, ["-m", *command, *flags], **{**ENVIRONMENT, **environment})

    def seconds_until(self, condition: Callable[[], bool], what: str) -> float:
        wait_for_engine(lambda: self.process.process.poll() is not None or condition(), what)
        assert self.process.process.poll() is None, self.process.log()
        return time.perf_counter() - self._started

    def answers_s(self) -> float:
        return self.seconds_until(lambda: Client(self.port).answers("/health"), "the engine's answer")


def supervised(directory: Path, log: Path, port: int, kept: Path) -> tuple[float, float]:
    """Seconds to ready, and those of them that the supervisor took. Ends once `kept` is there."""
    health = Client(free_port())
    own = ("--model", directory, "--health-port", health.port, "--compile-cache", kept)
    start = Timed(log, port, "qwen_runtime", "serve", *own, TMPDIR=str(log.parent))
    try:
        engine_s = start.seconds_until(lambda: "engine-started" in start.process.log(), "the engine's start")
        answers_s = start.answers_s()
        ready_s = start.seconds_until(lambda: health.answers("/health/ready"), "ready")
        start.seconds_until(kept.exists, "the kept copy")
    finally:
        start.process.end()
    return ready_s, engine_s + ready_s - answers_s


def plain(directory: Path, log: Path, port: int) -> float:
    compiled = {name: str(log.parent / f"compiled-{port}" / folder) for name, folder in CACHES.items()}
    start = Timed(log, port, "vllm.entrypoints.cli.main", "serve", directory, **compiled)
    try:
        return start.answers_s()
    finally:
        start.process.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without-plain", action="store_true")
    options = parser.parse_args()
    rounds = options.rounds
    seconds: dict[str, list[float]] = {"cold": [], "kept": [], "vllm serve, kept": []}
    added: list[float] = []
    print(machine.describe())
    with tempfile.TemporaryDirectory() as scratch:
        directory, log = model.copy_to(Path(scratch)), Path(scratch, "log")
        for turn in range(rounds):
            # Compilers write down paths, and the folder that they use is named after the port.
            kept, port = Path(scratch, "kept", str(turn)), free_port()
            for name in ("cold", "kept"):
                ready_s, supervisor_s = supervised(directory, log, port, kept)
                seconds[name].append(ready_s)
                added.append(supervisor_s)
                print(
                    f"{name:18} ready after {ready_s:6.1f} s, {supervisor_s:.2f} s of them the supervisor's", flush=True
                )
            if options.without_plain:
                continue
            seconds["vllm serve, kept"].append(plain(directory, log, port))
            print(f"vllm serve, kept answers after {seconds['vllm serve, kept'][-1]:6.1f} s", flush=True)
    middle = {name: round(statistics.median(found), 1) for name, found in seconds.items() if found}
    share, added_s = middle["kept"] / middle["cold"], statistics.median(added)
    print(f"expected: the supervisor adds at most {EXPECTED_ADDED_S:g} s: {added_s:.2f}")
    print(f"expected: a kept cache takes at most {EXPECTED_SHARE:g} of a cold start: {share:.2f}")
    print(
        json.dumps(
            {
                "benchmark": "engine_start",
                "machine": machine.describe(),
                "rounds": rounds,
                "seconds": middle,
                "supervisor_added_s": round(added_s, 2),
                "share_kept_of_cold": round(share, 2),
                "met": added_s <= EXPECTED_ADDED_S and share <= EXPECTED_SHARE,
            }
        )
    )


if __name__ == "__main__":
    main()
