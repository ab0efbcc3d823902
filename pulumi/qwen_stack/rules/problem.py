"""Message of a rule about a configuration that breaks it."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_runtime.errors import Fault


@dataclass(frozen=True, slots=True)
class Problem:
    keys: tuple[str, ...]
    found: str
    needed: str
    remedy: str

    def __str__(self) -> str:
        return str(Fault(", ".join(self.keys), self.found, self.needed, self.remedy))
