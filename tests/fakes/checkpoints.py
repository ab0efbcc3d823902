"""Model directories of some gigabytes, for benchmarks, and processes whose memory is measured."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.model_files import write_index, write_model

SOURCE = Path(__file__).parents[2] / "python/src"
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    peak_rss_bytes: int
    processor_s: float


def parser(description: str | None, size_gb: float) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--size-gb", type=float, default=size_gb, help="of the model (default: %(default)s)")
    flags.add_argument("--shards", type=int, default=16, help="default: %(default)s")
    flags.add_argument("--rounds", type=int, default=3, help="of each arm; the fastest counts (default: %(default)s)")
    flags.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure")
    return flags


@contextmanager
def room(directory: Path) -> Iterator[Path]:
    """A folder for the benchmark's files; it is removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="qwen-bench-", dir=directory))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def write_checkpoint(directory: Path, size_bytes: int, shards: int) -> list[Path]:
    """Writes shards of random bytes with one tensor each, and the rest of a model; returns the shards."""
    write_model(directory)
    for path in directory.glob("*.safetensors"):
        path.unlink()
    block = os.urandom(BLOCK_BYTES)
    count = max(size_bytes // shards // BLOCK_BYTES, 1)
    paths = [directory / f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    for number, path in enumerate(paths):
        tensor = {"dtype": "U8", "shape": [count * BLOCK_BYTES], "data_offsets": [0, count * BLOCK_BYTES]}
        header = json.dumps({f"tensor{number}": tensor}).encode()
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for turn in range(count):
                at = (turn * 4099 + number) % BLOCK_BYTES  # all blocks differ
                file.write(block[at:])
                file.write(block[:at])
            os.fsync(file.fileno())
    write_index(directory, {f"tensor{number}": path.name for number, path in enumerate(paths)})
    return paths


def forget(paths: Sequence[Path]) -> None:
    """Drops the files from the kernel's cache, so that the disk is read."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(*command: str | Path) -> Measured:
    """Runs the command, which must end with 0; returns its seconds and its peak memory."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measured(time.perf_counter() - started, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)


def qwen_runtime(*arguments: str | Path) -> tuple[str | Path, ...]:
    return (sys.executable, "-m", "qwen_runtime", *arguments)
