"""The tables of keys in pulumi/README.md are those of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwen_stack import plans, reference

PLAN = Path(__file__).resolve().parents[2] / "pulumi/plan.example.json"
RUN = "PYTHONPATH=pulumi:python/src python -m qwen_stack.reference"


def keys(section: dict[str, Any], **wanted: Any) -> set[str]:
    """Keys of a section of the schema whose description has these entries."""
    return {key for key, field in section["properties"].items() if wanted.items() <= field.items()}


def test_the_tables_are_current() -> None:
    committed = reference.README.read_text()
    assert reference.rewritten(committed) == committed, f"run: {RUN}"


def test_a_key_that_is_missing_from_its_table_is_put_back() -> None:
    committed = reference.README.read_text()
    lines = committed.splitlines(keepends=True)
    without = "".join(line for line in lines if not line.startswith("| gateway.retries |"))
    assert without != committed
    assert reference.rewritten(without) == committed


def test_the_table_says_of_the_same_keys_that_a_plan_gives_them() -> None:
    given = plans.sizes(plans.read(PLAN, PLAN.name), 0)
    shown = keys(reference.SCHEMA["$defs"]["Model"], filled="the plan's, or {}")
    assert given.keys() == shown
