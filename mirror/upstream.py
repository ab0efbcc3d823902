"""The addresses outside: a table like upstream.yml, with the versions of a file like versions.yml in it."""

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


@dataclass(frozen=True, slots=True)
class Upstream:
    """A table of addresses and the versions that are written into it."""

    versions: Path = VERSIONS
    file: Path = TABLE

    @property
    def table(self) -> Mapping[str, Any]:
        return _rendered(self.file, self.versions)

    def images(self, section: str) -> dict[str, str]:
        """Source by name in the site's registry (repository:tag), of one section of the table of images."""
        sources: Mapping[str, str] = self.table["images"][section]
        return {f"{repository}:{source.rpartition(':')[2]}": source for repository, source in sources.items()}

    def all_images(self) -> dict[str, str]:
        """Source by name in the site's registry, of every image that a site may copy."""
        return {name: source for section in self.table["images"] for name, source in self.images(section).items()}

    def repositories(self) -> list[Repository]:
        rows: Mapping[str, Mapping[str, Any]] = self.table["apt"]
        return [Repository(name=name, **row) for name, row in rows.items()]


@cache
def _rendered(file: Path, versions_file: Path) -> Mapping[str, Any]:
    text = environment().from_string(file.read_text()).render(versions(versions_file))
    sections: Mapping[str, Any] = yaml.safe_load(text)
    return sections
