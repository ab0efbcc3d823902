"""The processor of a host without a GPU: which of the planned kinds it is, told by its instructions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qwen_runtime.sizing.gpus import FLOAT32_CPU

CPU_INFO = Path("/proc/cpuinfo")
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""Flags of Linux for matrix products in bf16 on x86: Sapphire Rapids and newer, and Cooper Lake, Zen 4 and newer."""


@dataclass(frozen=True, slots=True)
class Processor:
    model: str
    bf16: str | None
    """The flag of its instructions for bf16."""
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
    bf16 = next((flag for flag in BF16_INSTRUCTIONS if flag in flags), None)
    widest = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")
    return Processor(fields.get("model name") or "processor", bf16, widest)


def here() -> Processor | None:
    """This host's processor; None where that cannot be told."""
    try:
        return parse(CPU_INFO.read_text())
    except OSError:
        return None
