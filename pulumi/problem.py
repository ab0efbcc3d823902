"""What a rule says of a configuration that breaks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    keys: tuple[str, ...]
    found: str
    needed: str
    fix: str

    def __str__(self) -> str:
        return f"{', '.join(self.keys)}: found {self.found}; needed: {self.needed}; do: {self.fix}"
