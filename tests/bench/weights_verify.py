"""Full verification of a sharded model, beside the disk alone, the digest alone, and `sha256sum` file by file.

    python -m tests.bench.weights_verify [--size-gb 8] [--shards 16] [--directory ON_THE_DISK]

Every arm reads the files from the disk: they are taken out of the kernel's cache first. The arms run in turn, the
fastest run of each counts. Expected: at least 0.9 of what the slower of disk and digest allows on all cores, faster
than `sha256sum`, and less than 300 MB of memory. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import sys

from tests.bench.arms.plain_files import digest_seconds, read_seconds
from tests.fakes.checkpoints import forget, measure, parser, qwen_runtime, room, write_checkpoint

EXPECTED_SHARE, EXPECTED_RSS_BYTES = 0.9, 300e6


def main() -> None:
    options = parser(__doc__, size_gb=8).parse_args()
    cores = len(os.sched_getaffinity(0))
    seconds: dict[str, float] = {}
    peak_rss_bytes = 0
    with room(options.directory) as folder:
        shards = write_checkpoint(folder / "model", int(options.size_gb * 1e9), options.shards)
        size_bytes = sum(path.stat().st_size for path in shards)
        measure(*qwen_runtime("weights", "manifest", folder / "model", "--model", "bench", "--revision", "1"))

        def verify() -> float:
            nonlocal peak_rss_bytes
            ran = measure(*qwen_runtime("weights", "verify", "--full", folder / "model"))
            peak_rss_bytes = max(peak_rss_bytes, ran.peak_rss_bytes)
            return ran.seconds

        arms = {
            "disk": lambda: read_seconds(shards, cores),
            "digest": lambda: digest_seconds(size_bytes, cores),
            "verify": verify,
            "sha256sum": lambda: measure("sha256sum", *shards).seconds,
        }
        for _ in range(options.rounds):
            for name, arm in arms.items():
                forget(shards)
                seconds[name] = min(arm(), seconds.get(name, float("inf")))
    best_s = max(seconds["disk"], seconds["digest"])
    print(f"{size_bytes / 1e9:.1f} GB in {options.shards} shards, {cores} cores")
    for name, taken_s in seconds.items():
        print(f"{name:10} {taken_s:7.2f} s  {size_bytes / taken_s / 1e9:6.2f} GB/s")
    share, gain = best_s / seconds["verify"], seconds["sha256sum"] / seconds["verify"]
    met = share >= EXPECTED_SHARE and gain > 1 and peak_rss_bytes < EXPECTED_RSS_BYTES
    print(f"expected: {EXPECTED_SHARE} of the slower of disk and digest: {share:.2f}; {gain:.2f} x sha256sum")
    print(
        json.dumps(
            {
                "benchmark": "weights_verify",
                "size_bytes": size_bytes,
                "shards": options.shards,
                "cores": cores,
                "seconds": {name: round(taken_s, 3) for name, taken_s in seconds.items()},
                "share_of_best": round(share, 3),
                "ratio_to_sha256sum": round(gain, 2),
                "peak_rss_bytes": peak_rss_bytes,
                "met": met,
                "python": sys.version.split()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
