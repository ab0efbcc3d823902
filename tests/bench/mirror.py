"""`qwen-mirror`: `list` beside a plain reading of the inventory, `verify` beside disk and digest, and a difference.

    python -m tests.bench.mirror [--size-gb 8] [--shards 16] [--directory ON_THE_DISK]

`list` reads the inventory as `ansible-inventory --list` does, and beside it all that roles, images and locks name.
`verify` is given a signed folder of that size with one list; each arm reads from the disk, the arms run in turn, the
fastest run of each counts, and the process's own start is in it. The difference is one package of a node, made anew,
of the whole folder. Expected: a list within 2 s, at least 0.9 of what the slower of disk and digest allows, faster than
`sha256sum`, and a difference below 2 %. Processor seconds say what a busy machine hides. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mirror.carry import bundle
from tests.bench.arms.plain_files import digest_seconds, read_seconds
from tests.fakes.checkpoints import Measured, forget, measure, parser, room, write_checkpoint

ROOT = Path(__file__).parents[2]
EXPECTED = {"list_s": 2, "share_of_best": 0.9, "difference_share": 0.02}
SITES = {"example": ["--vault-password-file", ROOT / "inventory/example/.throw-away-vault-password"], "local": []}
MIRROR = (sys.executable, ROOT / "mirror/qwen-mirror")
INVENTORY = Path(sys.executable).with_name("ansible-inventory")
PACKAGE = "apt/noble/kubelet_1.34.4-1.1_amd64.deb"
PACKAGE_BYTES = 13_000_000
"""About what the largest package of a node takes, kubelet's."""


def main() -> None:
    options = parser(__doc__, size_gb=8).parse_args()
    figures: dict[str, object] = {"benchmark": "mirror"}
    for site, vault in SITES.items():
        figures |= measure_list(site, vault, options.rounds)
    with room(options.directory) as folder:
        figures |= measure_verify(folder, int(options.size_gb * 1e9), options.shards, options.rounds)
        figures |= measure_difference(folder)
    slowest_s = max(value for name, value in figures.items() if name.endswith("_list_s"))
    measured = figures | {"list_s": slowest_s}
    for name, bound in EXPECTED.items():
        sign = ">=" if name == "share_of_best" else "<="
        print(f"{name:<18} expected {sign} {bound:<6} measured {measured[name]}")
    print(json.dumps({**figures, "python": sys.version.split()[0]}))


def measure_list(site: str, vault: list[str | Path], rounds: int) -> dict[str, object]:
    inventory = ROOT / "inventory" / site
    arms: dict[str, list[str | Path]] = {
        "list": [*MIRROR, "list", inventory],
        "ansible_inventory": [INVENTORY, "-i", inventory, "--list", *vault],
    }
    best = fastest({name: lambda argv=argv: measure(*argv) for name, argv in arms.items()}, rounds)
    for name, run in best.items():
        print(f"{site:8} {name:18} {run.seconds:6.2f} s, {run.processor_s:5.2f} s of processor", flush=True)
    return {
        f"{site}_list_s": round(best["list"].seconds, 2),
        f"{site}_list_processor_s": round(best["list"].processor_s, 2),
        f"{site}_ansible_inventory_processor_s": round(best["ansible_inventory"].processor_s, 2),
        f"{site}_list_over_ansible_inventory": round(
            best["list"].processor_s / best["ansible_inventory"].processor_s, 2
        ),
    }


def fastest(arms: dict[str, Callable[[], Measured]], rounds: int) -> dict[str, Measured]:
    """The fastest of the runs of each arm, which run in turn."""
    runs = [{name: arm() for name, arm in arms.items()} for _ in range(rounds)]
    return {name: min((run[name] for run in runs), key=lambda run: run.seconds) for name in arms}


def measure_verify(folder: Path, size_bytes: int, shards: int, rounds: int) -> dict[str, object]:
    """A folder as `fill` leaves it, with a model and a package."""
    whole, key = folder / "whole", folder / "site.key"
    files = [*write_checkpoint(whole / "models/bench", size_bytes, shards), write_package(whole)]
    bundle.write(whole, "registry.example.internal")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", folder / "site.pub"], check=True)
    measure(*MIRROR, "sign", whole, "--key", key)
    size_bytes, cores = sum(file.stat().st_size for file in files), len(os.sched_getaffinity(0))
    arms: dict[str, Callable[[], float]] = {
        "disk": lambda: read_seconds(files, cores),
        "digest": lambda: digest_seconds(size_bytes, cores),
        "verify": lambda: measure(*MIRROR, "verify", whole, "--key", folder / "site.pub").seconds,
        "sha256sum": lambda: measure("sha256sum", *files).seconds,
    }
    seconds = dict.fromkeys(arms, float("inf"))
    for _ in range(rounds):
        for name, arm in arms.items():
            forget(files)
            seconds[name] = min(arm(), seconds[name])
    print(f"verify of {size_bytes / 1e9:.1f} GB in {len(files)} files, {cores} cores")
    for name, taken_s in seconds.items():
        print(f"  {name:10} {taken_s:7.2f} s  {size_bytes / taken_s / 1e9:6.2f} GB/s", flush=True)
    return {
        "size_bytes": size_bytes,
        "cores": cores,
        "seconds": {name: round(taken_s, 3) for name, taken_s in seconds.items()},
        "share_of_best": round(max(seconds["disk"], seconds["digest"]) / seconds["verify"], 3),
        "ratio_to_sha256sum": round(seconds["sha256sum"] / seconds["verify"], 2),
    }


def measure_difference(folder: Path) -> dict[str, object]:
    """Size of what is carried once one package has another content."""
    whole, before, new = folder / "whole", folder / "before.json", folder / "new"
    before.write_bytes((whole / bundle.NAME).read_bytes())
    write_package(whole)
    size_bytes = bundle.write(whole, "registry.example.internal").size_bytes
    measure(*MIRROR, "pack", whole, "--since", before, "--to", new)
    carried = bundle.read(new).size_bytes
    print(f"difference of one package: {carried / 1e6:.0f} MB of {size_bytes / 1e9:.1f} GB")
    return {"difference_bytes": carried, "difference_share": round(carried / size_bytes, 5)}


def write_package(whole: Path) -> Path:
    file = whole / PACKAGE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(os.urandom(PACKAGE_BYTES))
    return file


if __name__ == "__main__":
    main()
