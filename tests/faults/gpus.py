"""Readings of the lab's GPUs, as tests change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Readings: TypeAlias = list[dict[str, Any]]
Gpus: TypeAlias = Callable[[Readings], None]


def eight(*changed: dict[str, Any]) -> Readings:
    """Changes of the first GPUs; the rest of the host's eight are as they were."""
    return [*changed, *({} for _ in range(8 - len(changed)))]
