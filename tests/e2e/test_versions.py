"""The versions that kubeadm itself asks for are those that versions.yml tells a site to have."""

from __future__ import annotations

import subprocess

from lab.paths import BIN
from lab.versions import versions
from mirror.upstream import Upstream


def test_the_table_of_sources_has_the_images_that_kubeadm_takes() -> None:
    release = f"v{versions()['kubernetes']['version']}"
    listed = subprocess.run(
        [BIN / "kubeadm", "config", "images", "list", "--kubernetes-version", release],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert set(Upstream().images("kubeadm").values()) == set(listed)
