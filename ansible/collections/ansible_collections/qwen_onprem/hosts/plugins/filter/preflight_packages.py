"""Judges software of the installed system that the roles would replace: the site has to decide about each package."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from ..plugin_utils.rows import Row, row


def assess_packages(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """One row, which names all undecided packages.

    found:  answer of inspect_host.py
    needed: __preflight_needed of vars/main.yml
    """
    decided = needed["decided_packages"]
    undecided = [name for name in found["packages"] if not any(fnmatch(name, pattern) for pattern in decided)]
    return [
        row(
            "preinstalled software",
            not undecided,
            ", ".join(undecided) or "none that is undecided",
            "the site's decision for each: replaced, or kept",
            "Name them in the role's list of replaced packages or keep them: docs/operate/dgx-os.md.",
        )
    ]


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_packages": assess_packages}
