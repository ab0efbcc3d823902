"""Debian's packages on the mirror: what hosts and images install, as a site computes it, with all they depend on."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from lab import store, versions
from lab.paths import REPO
from lab.progress import APT_DOWNLOAD
from lab.shell import logged, output

CATALOGUES = ("lab/kubernetes/images.yml", "images/catalog.yml", "lab/gpu/programs/images.yml")
# What molecule's scenarios install beyond the rack: container_runtime-docker.
FOR_SCENARIOS = ("docker.io",)


def names() -> list[str]:
    """Names of what Debian has; pinned packages are Kubernetes' and NVIDIA's, and are made here."""
    hosts = output(
        *(sys.executable, "ansible/packages.py", "--inventory", "inventory/local"),
        *("--group", "cluster", "--system", "Debian-12"),
        cwd=REPO,
    ).split()
    images = output(
        *(sys.executable, "-m", "images.packages", "--variant", "cpu"),
        *("--base", versions.versions()["images"]["base"], "--versions", versions.written()),
        *(word for path in CATALOGUES for word in ("--catalog", path)),
        cwd=REPO,
    ).split()
    return sorted({name for name in (*hosts, *images, *FOR_SCENARIOS) if "=" not in name})


def obtain(base_tar: Path) -> tuple[Path, bool]:
    """Folder with the packages that a host made from the base image lacks, and whether it had to be made."""
    wanted = names()
    made_from = store.key(base_tar.with_name(store.SUMS), *wanted)
    return store.obtain("mirror/debian", made_from, lambda into: _download(into, base_tar, wanted))


def _download(into: Path, base_tar: Path, wanted: list[str]) -> None:
    """Have apt resolve against the base's own package database."""
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
