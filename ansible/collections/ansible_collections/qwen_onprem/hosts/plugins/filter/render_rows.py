"""The filter that shows rows to the user."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.rows import render


class FilterModule:
    """Ansible's way of finding filters."""

    def filters(self) -> dict[str, Any]:
        return {"render_rows": render}
