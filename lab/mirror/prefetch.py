"""What the steps after the tools fetch and unpack, done while the tools compile and network and disk are idle."""

from __future__ import annotations

from lab.hosts import rootfs
from lab.mirror import debian_packages, wheels


def fetch() -> None:
    """Have file systems, Debian's packages and wheels in the cache; the steps that need them find them there."""
    base_tar, _ = rootfs.build(rootfs.BASE)
    debian_packages.obtain(base_tar)
    rootfs.build(rootfs.MIRROR)
    rootfs.build(rootfs.HOST)
    wheels.locked()
