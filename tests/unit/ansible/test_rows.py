"""A user reads each failed check of a host as one line."""

from __future__ import annotations

from ansible_collections.qwen_onprem.hosts.plugins.plugin_utils.rows import render, row

MEMORY = row("memory", False, "256 GB", "512 GB", "Add memory.")
CLOCK = row("clock", False, "+90 s", "at most 60 s", "Set it with date --set.")


def test_each_check_is_a_line_of_found_needed_and_remedy() -> None:
    assert render([MEMORY, CLOCK]).splitlines() == [
        "memory: Found 256 GB, needed 512 GB. Add memory.",
        "clock: Found +90 s, needed at most 60 s. Set it with date --set.",
    ]
