"""The machine: its processor, its rate of reading memory, and the resources that processes take."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

COPIED_BYTES = 1 << 27
COPIES = 32


def processor() -> str:
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return match[1] if match else os.uname().machine


def describe() -> str:
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory
    return f"{len(os.sched_getaffinity(0))} cores ({processor()}), {int(memory[1]) / 2**20:.0f} GiB"


def bandwidth_bytes_per_s() -> float:
    """Bytes per second of one thread: read and written by the fastest of a few copies that no cache holds."""
    source, target = bytearray(COPIED_BYTES), bytearray(COPIED_BYTES)
    source_view, target_view = memoryview(source), memoryview(target)
    fastest_s = float("inf")
    for _ in range(COPIES):
        started = time.perf_counter()
        target_view[:] = source_view
        fastest_s = min(fastest_s, time.perf_counter() - started)
    return 2 * COPIED_BYTES / fastest_s


def rss_bytes(root: int) -> int:
    """Memory of a process and all below it; shared pages count for each of them."""
    parents, sizes = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it has ended meanwhile
        parents[int(entry.name)] = int(fields["PPid"])
        sizes[int(entry.name)] = int(fields.get("VmRSS", "0 kB").split()[0]) * 1024

    def below(pid: int) -> bool:
        return pid == root or (pid in parents and below(parents[pid]))

    return sum(size for pid, size in sizes.items() if below(pid))


def cpu_seconds(pid: int) -> float:
    """Processor seconds of this process so far, without those below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_cores_seconds() -> float:
    """Seconds of work of all cores together so far, for any process; proc(5), /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
