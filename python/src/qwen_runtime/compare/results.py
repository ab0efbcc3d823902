"""Reading of two results, and the refusal of those that cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError

FORMAT = 1
PAIRED = ("bench", "humaneval", "perplexity", "retrieval", "summaries")
"""Kinds of results that have one entry for each item."""
KINDS = (*PAIRED, "tools", "determinism", "saturation")
SAME = ("kind", "model", "hardware", "load", "harness")
"""Parts that two results must have in common, unless a difference is asked for by name."""


def read(path: Path, *kinds: str) -> dict[str, Any]:
    """The result in a file, of one of the kinds. UsageError where it is none, or has no item."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "a result", "Correct the path.") from error
    return parse(content, str(path), *kinds)


def parse(content: bytes, name: str, *kinds: str) -> dict[str, Any]:
    """The result in some bytes, which messages call `name`."""
    try:
        document: dict[str, Any] = json.loads(content)
        if document["format"] != FORMAT or document["kind"] not in kinds:
            raise ValueError(f"format {document['format']!r}, kind {document['kind']!r}")
        if datetime.fromisoformat(document["ended"]).tzinfo is None:
            raise ValueError("an end without its time zone")
        for key in ("model", "hardware", "engine_version"):
            document["subject"][key]
        if document["kind"] in PAIRED and len(items(document)) != len(document["requests"]):
            raise ValueError("an item twice")
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{name} is not a result of this version ({error!r})",
            f"a document of format {FORMAT} and kind {' or '.join(kinds)}",
            "Measure anew.",
        ) from error
    if document["kind"] in PAIRED and not document["requests"]:
        raise UsageError(f"{name} has no item", "results of at least one request", "Measure anew.")
    return document


def items(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of a result by the name of their item."""
    return {str(entry["item"]): entry for entry in document["requests"]}


def refuse_different(baseline: dict[str, Any], candidate: dict[str, Any], across: Sequence[str]) -> None:
    """Raise UsageError where the results differ in something whose difference was not asked for."""
    for name in SAME:
        before, after = _part(baseline, name), _part(candidate, name)
        if before != after and (name == "kind" or name not in across):
            raise UsageError(
                f"results of a different {name}: {_differences(before, after)}",
                f"the same {name}, so that a difference is the candidate's",
                f"Measure both alike, or compare across it on purpose: --across {name}."
                if name != "kind"
                else "Compare results of one kind.",
            )


def _part(document: dict[str, Any], name: str) -> Any:
    return document["subject"].get(name) if name in ("model", "hardware") else document.get(name)


def _differences(before: Any, after: Any) -> str:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return f"{before!r} and {after!r}"
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return ", ".join(f"{name} {before.get(name)!r} and {after.get(name)!r}" for name in names)
