"""Downloads for the steps after the tools, made while the tools compile and network and disk are idle."""

from __future__ import annotations

from lab.hosts import rootfs
from lab.mirror import bundles, wheels


def fetch() -> None:
    """Put file systems, Debian's packages and wheels into the cache, where the later steps take them from."""
    base_tar, _ = rootfs.build(rootfs.BASE)
    bundles.debian(base_tar).obtain()
    rootfs.build(rootfs.MIRROR)
    rootfs.build(rootfs.HOST)
    wheels.locked()
