"""Turns assessed rows into passed, failed or waived ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def judge(rows: list[dict[str, Any]], waived: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows with `status` instead of `ok`: pass, fail, or waived with the site's reason as `waiver`.

    A waived check that passes is a pass; one that fails is never called a pass.
    """
    return [_judged(row, waived.get(row["name"])) for row in rows]


def _judged(row: Mapping[str, Any], waiver: str | None) -> dict[str, Any]:
    rest = {key: value for key, value in row.items() if key != "ok"}
    if row["ok"]:
        return {**rest, "status": "pass"}
    return {**rest, "status": "waived", "waiver": waiver} if waiver else {**rest, "status": "fail"}


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_judge": judge}
