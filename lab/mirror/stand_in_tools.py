"""Stand-ins for Pulumi's archives, in the form that the project gives them, of the programs that the lab builds.

The engine's archive has its programs in a folder `pulumi`; that of a provider has its program at the top.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from lab import versions
from lab.paths import BIN, CACHE
from mirror.upstream import Upstream

FOLDER = CACHE / "mirror/stand-in-tools"
ENGINE = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")
PROVIDER = "pulumi-resource-kubernetes"
FASTEST = 1
"""gzip's level: an archive lives for one filling of a folder, and its programs take half a minute at the best one."""


def names() -> list[str]:
    """Names of the archives, with the versions that the lab has."""
    return [source.rpartition("/")[2] for source in Upstream(versions.written()).table["tools"]]


def sources() -> list[str]:
    """Addresses of the archives, for a table of upstreams; a list does not need them to be there."""
    return [f"file://{FOLDER / name}" for name in names()]


def programs() -> list[Path]:
    """The programs that the archives are made of."""
    return [(BIN / name).resolve() for name in (*ENGINE, PROVIDER)]


def make() -> None:
    """Write the archives, in place of earlier ones."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names():
        if name.startswith(PROVIDER):
            _write(FOLDER / name, "", [PROVIDER])
        else:
            _write(FOLDER / name, "pulumi/", ENGINE)


def _write(archive: Path, folder: str, members: Sequence[str]) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=FASTEST) as tar:
        for member in members:
            tar.add((BIN / member).resolve(), f"{folder}{member}")
