"""Staging over loopback HTTP, beside `curl` on the same files from the same server.

    python -m tests.bench.weights_stage [--size-gb 8] [--shards 16] [--directory ON_THE_DISK]

The server is `qwen-runtime weights share`. curl fetches the files one after another over one connection and checks
nothing; `curl + sync` also waits until they are on the disk, as staging does; `curl + sha256sum` checks them too. The
arms run in turn, the fastest run of each counts. Expected: at least 0.9 of curl, and less than 300 MB of memory. The
last line is JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.checkpoints import SOURCE, measure, parser, qwen_runtime, room, write_checkpoint

EXPECTED_SHARE, EXPECTED_RSS_BYTES = 0.9, 300e6


@contextmanager
def sharing(directory: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = qwen_runtime("weights", "share", directory, "--address", "127.0.0.1", "--port", port)
    ran = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    )
    try:
        assert ran.stdout
        ran.stdout.readline()  # its line says that it shares
        yield f"http://127.0.0.1:{port}"
    finally:
        ran.terminate()
        ran.communicate()


def main() -> None:
    options = parser(__doc__, size_gb=8).parse_args()
    seconds: dict[str, float] = {}
    peak_rss_bytes = 0
    with room(options.directory) as folder, sharing(folder) as url:
        write_checkpoint(folder / "model", int(options.size_gb * 1e9), options.shards)
        measure(*qwen_runtime("weights", "manifest", folder / "model", "--model", "bench", "--revision", "1"))
        names = sorted(path.name for path in (folder / "model").iterdir())
        size_bytes = sum((folder / "model" / name).stat().st_size for name in names)
        target = folder / "target"

        def stage() -> None:
            nonlocal peak_rss_bytes
            ran = measure(*qwen_runtime("weights", "stage", target, "--from", f"{url}/model", "--margin-bytes", "0"))
            peak_rss_bytes = max(peak_rss_bytes, ran.peak_rss_bytes)

        def curl() -> None:
            target.mkdir()
            arguments = [word for name in names for word in ("--output", f"{target}/{name}", f"{url}/model/{name}")]
            measure("curl", "--silent", "--fail", *arguments)

        def curl_and(*command: str) -> None:
            curl()
            measure(*command, *(f"{target}/{name}" for name in names))

        arms = {
            "curl": curl,
            "stage": stage,
            "curl + sync": lambda: curl_and("sync"),
            "curl + sha256sum": lambda: curl_and("sha256sum"),
        }
        for _ in range(options.rounds):
            for name, arm in arms.items():
                started = time.perf_counter()
                arm()
                seconds[name] = min(time.perf_counter() - started, seconds.get(name, float("inf")))
                shutil.rmtree(target)
                os.sync()  # no run pays for the writes of the one before
    print(f"{size_bytes / 1e9:.1f} GB in {options.shards} shards, {len(os.sched_getaffinity(0))} cores")
    for name, taken_s in seconds.items():
        print(f"{name:18} {taken_s:7.2f} s  {size_bytes / taken_s / 1e9:6.2f} GB/s")
    share = seconds["curl"] / seconds["stage"]
    synced_share = seconds["curl + sync"] / seconds["stage"]
    print(f"expected: {EXPECTED_SHARE} of curl: {share:.2f}; of curl + sync: {synced_share:.2f}")
    print(
        json.dumps(
            {
                "benchmark": "weights_stage",
                "size_bytes": size_bytes,
                "shards": options.shards,
                "cores": len(os.sched_getaffinity(0)),
                "seconds": {name: round(taken_s, 3) for name, taken_s in seconds.items()},
                "ratio_to_curl": round(share, 3),
                "ratio_to_curl_synced": round(synced_share, 3),
                "peak_rss_bytes": peak_rss_bytes,
                "met": share >= EXPECTED_SHARE and peak_rss_bytes < EXPECTED_RSS_BYTES,
                "python": sys.version.split()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
