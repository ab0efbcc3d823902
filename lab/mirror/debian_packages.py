"""Debian's packages on the mirror: those that hosts and images install, as a site lists them, with dependencies."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

from lab import store, versions
from lab.paths import REPO
from lab.progress import APT_DOWNLOAD
from lab.shell import logged, output

CATALOGUES = (
    "lab/kubernetes/images.yml",
    "lab/gateway/images.yml",
    "images/catalog.yml",
    "lab/gpu/programs/images.yml",
)
# Molecule's scenario container_runtime-docker installs this; the rack does not.
FOR_SCENARIOS = ("docker.io",)


def names() -> list[str]:
    """Names of Debian's packages. A name with a version is of Kubernetes or NVIDIA, whose packages are made here."""
    listed = output(
        *(sys.executable, "mirror/qwen-mirror", "list", "inventory/local", "--kind", "apt", "--format", "json"),
        *("--variant", "cpu", f"--versions={versions.written()}", *(f"--catalog={path}" for path in CATALOGUES)),
        cwd=REPO,
    )
    return sorted({*(item["name"] for item in json.loads(listed) if not item["version"]), *FOR_SCENARIOS})


def obtain(base_tar: Path) -> tuple[Path, bool]:
    """Folder with the packages that the base image does not have, and whether it had to be made."""
    wanted = names()
    made_from = store.key(base_tar.with_name(store.SUMS), *wanted)
    return store.obtain("mirror/debian", made_from, lambda into: _download(into, base_tar, wanted))


def _download(into: Path, base_tar: Path, wanted: list[str]) -> None:
    """Let apt resolve dependencies against the package database of the base image."""
    logged("mirror", "apt-get", "update", "-q")
    partial = into / "partial"
    partial.mkdir()
    status = partial / "status"
    with tarfile.open(base_tar) as tar:
        member = tar.extractfile("./var/lib/dpkg/status")
        assert member is not None, "a mmdebstrap tar holds dpkg's database"
        status.write_bytes(member.read())
    logged(
        "mirror",
        *("apt-get", "install", "--yes", "-q", "--download-only", "--no-install-recommends"),
        *("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={into}", "-o", "Debug::NoLocking=1"),
        *("-o", "APT::Sandbox::User=root", *wanted),
        progress=APT_DOWNLOAD,
    )
    status.unlink()
    partial.rmdir()
