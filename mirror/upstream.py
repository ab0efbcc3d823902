"""The addresses that upstream.yml has, with the versions of versions.yml in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from images.catalog import VERSIONS, environment, versions

TABLE = Path(__file__).with_name("upstream.yml")


@dataclass(frozen=True, slots=True)
class Repository:
    """An upstream repository of Debian packages; upstream.yml explains the fields."""

    name: str
    url: str
    suites: Sequence[str]
    key: str
    fingerprint: str
    systems: Sequence[str] = ()
    components: Sequence[str] = ()
    packages: Sequence[str] = ("*",)

    @property
    def is_system(self) -> bool:
        """Whether it is a system's own, which packages of other projects need, too."""
        return self.packages == ("*",)

    def has(self, package: str, system: str) -> bool:
        serves = not self.systems or system in self.systems
        return serves and any(fnmatchcase(package, pattern) for pattern in self.packages)


@cache
def table(versions_file: Path = VERSIONS) -> Mapping[str, Any]:
    text = environment().from_string(TABLE.read_text()).render(versions(versions_file))
    sections: Mapping[str, Any] = yaml.safe_load(text)
    return sections


def images(section: str, versions_file: Path = VERSIONS) -> dict[str, str]:
    """Source by name in the site's registry (repository:tag), of one section of the table of images."""
    sources: Mapping[str, str] = table(versions_file)["images"][section]
    return {f"{repository}:{source.rpartition(':')[2]}": source for repository, source in sources.items()}


def all_images(versions_file: Path = VERSIONS) -> dict[str, str]:
    """Source by name in the site's registry, of every image that a site may copy."""
    sections = table(versions_file)["images"]
    return {name: source for section in sections for name, source in images(section, versions_file).items()}


def repositories(versions_file: Path = VERSIONS) -> list[Repository]:
    rows: Mapping[str, Mapping[str, Any]] = table(versions_file)["apt"]
    return [Repository(name=name, **row) for name, row in rows.items()]
