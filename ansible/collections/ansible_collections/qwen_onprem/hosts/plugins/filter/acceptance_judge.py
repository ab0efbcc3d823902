"""Passed, failed or waived: what becomes of a row that was assessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def judge(rows: list[dict[str, Any]], waived: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows with `status` in place of `ok`: pass, fail or, where the site says why, waived with that `waiver`.

    A waived check that passes is a pass; one that does not is never called so.
    """
    return [_judged(row, waived.get(row["name"])) for row in rows]


def _judged(row: Mapping[str, Any], waiver: str | None) -> dict[str, Any]:
    rest = {key: value for key, value in row.items() if key != "ok"}
    if row["ok"]:
        return {**rest, "status": "pass"}
    return {**rest, "status": "waived", "waiver": waiver} if waiver else {**rest, "status": "fail"}


class FilterModule:
    """Ansible's way of finding filters."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_judge": judge}
