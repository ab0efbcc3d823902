"""The filter that shows rows to the user."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.rows import render


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"render_rows": render}
