"""The processor of a host without a GPU: which of the planned kinds it is, told by its instructions, and how fast its
memory is."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

from qwen_runtime.errors import HostError
from qwen_runtime.sizing import gpus
from qwen_runtime.sizing.gpus import FLOAT32_CPU, Gpu, Int8
from qwen_runtime.units import GIGA

CPU_INFO, MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
MEASURED_CORES = 2
"""Cores on which the rates of the catalogue's kinds were measured."""
COPIED_BYTES, COPIES = 1 << 27, 12
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""Flags of Linux for matrix products in bf16 on x86: Sapphire Rapids and newer, and Cooper Lake, Zen 4 and newer."""
INT8_INSTRUCTIONS = ("amx_int8", "avx512_vnni")
"""Flags for matrix products in INT8."""


@dataclass(frozen=True, slots=True)
class Processor:
    model: str
    bf16: str | None
    """The flag of its instructions for bf16."""
    int8: str | None
    """The same for INT8."""
    widest: str
    """The widest vectors that it has."""

    @property
    def kind(self) -> str:
        """Name under which the planner has it."""
        return "cpu" if self.bf16 else FLOAT32_CPU

    def advice(self, planned: str) -> str | None:
        """Advice on what to plan instead where this host is to serve; None where the planned kind is this one."""
        if planned == self.kind:
            return None
        has = f"has {self.bf16}" if self.bf16 else f"has {self.widest} and no instructions for bf16"
        return f"this host's {self.model} {has}: if the model is to run on such a host, plan --gpu {self.kind}"


def parse(cpu_info: str) -> Processor | None:
    """The first processor of a /proc/cpuinfo of x86; None where it is another architecture's."""
    fields: dict[str, str] = {}
    for line in cpu_info.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    if not flags:
        return None
    bf16, int8 = (
        next((flag for flag in names if flag in flags), None) for names in (BF16_INSTRUCTIONS, INT8_INSTRUCTIONS)
    )
    widest = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")
    return Processor(fields.get("model name") or "processor", bf16, int8, widest)


def here() -> Processor | None:
    """This host's processor; None where that cannot be told."""
    try:
        return parse(CPU_INFO.read_text())
    except OSError:
        return None


def as_planned() -> Gpu:
    """This host's kind, with its own memory's size and speed, which are measured in a second, and as many cores as this
    process may use. Raises HostError where it is no host without a GPU that can be told."""
    this = here()
    size = re.search(r"^MemAvailable:\s*(\d+) kB", MEMORY_INFO.read_text(), re.MULTILINE) if this else None
    if this is None or size is None:
        raise HostError(
            f"{CPU_INFO} and {MEMORY_INFO} do not tell this host's processor and memory",
            "Linux on x86",
            "Plan --gpu cpu or cpu-float32 with --memory-gib.",
        )
    kind, cores, rate = gpus.get(this.kind), len(os.sched_getaffinity(0)), memory_bytes_per_s()
    widest = this.bf16 or f"{this.widest} and no instructions for bf16"
    also = f" and {this.int8}" if this.bf16 and this.int8 else ""
    return replace(
        kind,
        usable_bytes=int(size[1]) * 1024,
        memory_source="available on this host",
        bandwidth_bytes_per_s=rate,
        bf16_flops=kind.bf16_flops * cores / MEASURED_CORES,
        int8=_int8(kind, cores) if this.int8 else None,
        source="measured on this host: memory; arithmetic as the catalogue's kind, by the number of cores",
        found=f"{this.model} with {widest}{also}, {cores} cores, memory that gives {rate / GIGA:.0f} GB/s",
    )


def _int8(kind: Gpu, cores: int) -> Int8 | None:
    return replace(kind.int8, flops=kind.int8.flops * cores / MEASURED_CORES) if kind.int8 else None


def memory_bytes_per_s() -> float:
    """Bytes per second that one thread reads and writes, by the fastest of a few copies that no cache holds."""
    source, target = bytearray(COPIED_BYTES), bytearray(COPIED_BYTES)
    view, fastest_s = memoryview(target), float("inf")
    for _ in range(COPIES):
        started = time.perf_counter()
        view[:] = source
        fastest_s = min(fastest_s, time.perf_counter() - started)
    return 2 * COPIED_BYTES / fastest_s
