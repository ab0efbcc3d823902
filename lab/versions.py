"""versions.yml, read once."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from lab.paths import REPO


@cache
def versions() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPO / "versions.yml").read_text())["versions"]
    return found
