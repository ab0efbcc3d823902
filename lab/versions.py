"""versions.yml for the lab: a site's values, some of them replaced by what the lab builds instead."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lab.paths import LAB, REPO

FILE = REPO / "versions.yml"


@cache
def versions() -> dict[str, Any]:
    """Every version that the lab builds and installs."""
    table = yaml.safe_load(FILE.read_text())
    return _over(table["versions"], table["versions_lab"])


def written() -> Path:
    """Write the same as a file in the form of versions.yml, for images.build and qwen-mirror."""
    file = LAB / "versions.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"versions": versions()}, sort_keys=False))
    return file


def _over(site: dict[str, Any], lab: dict[str, Any]) -> dict[str, Any]:
    """The site's values with the lab's in their place; KeyError for a name that the site does not have."""
    replaced = {name: _over(site[name], value) if isinstance(value, dict) else value for name, value in lab.items()}
    assert not (unknown := replaced.keys() - site.keys()), f"versions_lab has {unknown}, versions has not"
    return {**site, **replaced}
