"""The entries of `models`, completed: the names that an entry leaves out, and the sizes of its plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qwen_stack import plans

SERVER = "model-server"


def complete(entry: Mapping[str, Any], position: int, plan: plans.Plan | None) -> dict[str, Any]:
    """The entry with its gaps filled: its own keys win over the plan's. `plan` is the content of the file it names."""
    sizes = plans.sizes(plan, entry.get("spareReplicas", 0)) if plan else {}
    names = {"servedName": _served_name(entry), "server": _server(entry, position)}
    completed = {**sizes, **names, **entry, **({"plan": plan} if plan else {})}
    bounds = entry.get("autoscaling")
    return completed if not isinstance(bounds, Mapping) else {**completed, "autoscaling": _bounds(bounds, completed)}


def _bounds(given: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds of autoscaling: as many replicas as the entry may have, each with its share of the planned requests."""
    plan, most = entry.get("plan"), entry.get("replicas")
    planned = {"target": plans.requests_of_a_replica(plan)} if isinstance(plan, plans.Plan) else {}
    return {**({"max": most} if most else {}), **planned, **given}


def _served_name(entry: Mapping[str, Any]) -> str:
    """Name in the API: a variant needs another one than the entry whose weights it shares."""
    parts = (entry.get("name", ""), entry.get("variant"))
    return "-".join(str(part) for part in parts if part)


def _server(entry: Mapping[str, Any], position: int) -> str:
    """Name of its objects. It does not depend on the weights behind a served name, and the first entry's is constant,
    so that other weights are a rollout and not a new server."""
    if position == 0:
        return SERVER
    name = str(entry.get("variant") or entry.get("servedName") or entry.get("name", ""))
    return f"{SERVER}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"
