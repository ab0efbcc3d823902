"""The controller's settings, from the file that the stack writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class Acting:
    """Limits of what is done. `gpus` are those of a host in service; `test_pod` is the pod of the loaded test, without
    its name and its node."""

    per_node_hour: int
    per_fleet_hour: int
    drain_s: int
    test_s: int
    gpus: int
    test_pod: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespace` is the stack's; `stale_s` is the age at which a series is no longer measured. Without `acting` the
    controller observes."""

    namespace: str
    prometheus: str
    stale_s: int
    expire_s: int
    interval_s: int
    acting: Acting | None = None


def read(file: Path) -> Settings:
    """Raises UsageError for a file that is not there, is no JSON or has other keys."""
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: {error}", "settings in JSON", "Write the file as the stack does.") from error
    _refuse_other_keys(document, Settings, str(file))
    if document["acting"] is not None:
        _refuse_other_keys(document["acting"], Acting, f"{file}: acting")
        document["acting"] = Acting(**document["acting"])
    return Settings(**document)


def _refuse_other_keys(document: Any, of: type[Settings] | type[Acting], where: str) -> None:
    keys = {field.name for field in fields(of)}
    found = set(document) if isinstance(document, dict) else set()
    if found != keys:
        raise UsageError(
            f"{where} with {', '.join(sorted(found ^ keys))} too much or too little",
            f"the keys {', '.join(sorted(keys))}",
            "Write the file as the stack does.",
        )
