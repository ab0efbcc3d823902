"""Print as JSON how fast a folder's disk reads: its largest files, past the page cache, by several threads.

    python3 read_disk.py FOLDER GB

Reads at most so many GB (10^9 bytes) and writes nothing. Standard library only.
"""

import json
import mmap
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK_BYTES = 16 * 2**20  # large enough for a stripe of 8 drives; a multiple of any drive's sectors
THREADS = 8


def find_pieces(folder: Path, limit_bytes: int) -> list[tuple[Path, int]]:
    """File and offset of each whole block to read, from the largest file down."""
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)
    pieces = [(file, at) for file in files for at in range(0, file.stat().st_size - BLOCK_BYTES + 1, BLOCK_BYTES)]
    return pieces[: max(1, limit_bytes // BLOCK_BYTES)]


def read(piece: tuple[Path, int]) -> int:
    file, offset = piece
    descriptor = os.open(file, os.O_RDONLY | os.O_DIRECT)
    try:
        # O_DIRECT wants memory that begins on a page, as an anonymous map does.
        with mmap.mmap(-1, BLOCK_BYTES) as buffer:
            return os.preadv(descriptor, [buffer], offset)
    finally:
        os.close(descriptor)


def measure(folder: Path, limit_bytes: int) -> dict:
    pieces = find_pieces(folder, limit_bytes)
    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        size_bytes = sum(pool.map(read, pieces))
    elapsed_s = time.monotonic() - begun
    return {"bytes": size_bytes, "elapsed_s": round(elapsed_s, 3), "gb_per_s": round(size_bytes / elapsed_s / 1e9, 3)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(float(sys.argv[2]) * 1e9))))
