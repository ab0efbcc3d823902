"""The lab's one error: what was found, what is needed, and a remedy; laid out as qwen_runtime.errors does."""

from __future__ import annotations


class LabError(Exception):
    """A message for the person at the terminal. The run stops and leaves nothing half-made."""

    def __init__(self, found: str, needed: str, remedy: str) -> None:
        super().__init__(found, needed, remedy)
        self.found, self.needed, self.remedy = found, needed, remedy

    def __str__(self) -> str:
        return f"found:  {self.found}\nneeded: {self.needed}\nremedy: {self.remedy}"
