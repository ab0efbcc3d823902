"""The entries of `models`, completed: the names that an entry leaves out, and the sizes of its plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qwen_stack import plans

SERVER = "model-server"


def complete(entry: Mapping[str, Any], position: int, plan: plans.Plan | None) -> dict[str, Any]:
    """What the entry says itself wins. `plan` is the content of the file that it names."""
    sizes = plans.sizes(plan, entry.get("spareReplicas", 0)) if plan else {}
    names = {"servedName": _served_name(entry), "server": _server(entry, position)}
    content = {"plan": plan} if plan else {}
    return {**sizes, **names, **entry, **content}


def _served_name(entry: Mapping[str, Any]) -> str:
    """A variant cannot have the name of the entry with which it shares the weights."""
    words = (entry.get("name", ""), entry.get("variant"))
    return "-".join(str(word) for word in words if word)


def _server(entry: Mapping[str, Any], position: int) -> str:
    """Stays when the weights behind a served name change; the first entry's is the same whatever it serves."""
    if position == 0:
        return SERVER
    word = str(entry.get("variant") or entry.get("servedName") or entry.get("name", ""))
    return f"{SERVER}-{re.sub('[^a-z0-9]+', '-', word.lower()).strip('-')}"
