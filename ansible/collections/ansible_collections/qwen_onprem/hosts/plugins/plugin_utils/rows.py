"""Rows of checks on a host: what was found, what is needed, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, Any]


def row(name: str, ok: bool, found: object, needed: object, remedy: str) -> Row:
    return {"name": name, "ok": bool(ok), "found": str(found), "needed": str(needed), "remedy": remedy}


def render(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line per row, as it is shown to the user."""
    return "\n".join(f"{row['name']}: Found {row['found']}, needed {row['needed']}. {row['remedy']}" for row in rows)
