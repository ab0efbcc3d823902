"""The systems that hosts, images and the controller run, as Ansible calls them."""

from __future__ import annotations

from collections.abc import Mapping

from qwen_runtime.errors import UsageError

from images.catalog import Image

RELEASES = {"Debian-12": "bookworm", "Ubuntu-22.04": "jammy", "Ubuntu-24.04": "noble"}
PYTHONS = {"Debian-12": "3.11", "Ubuntu-24.04": "3.12"}
"""Python of the systems that a controller may run; 22.04's is too old for the lock."""
GLIBC = {"Debian-12": 36, "Ubuntu-24.04": 39}
"""Minor version of glibc 2, which decides which wheels a system takes."""


def of_image(image: Image, known: Mapping[str, Image]) -> str:
    """The system in an image, by the tag of the published base below it; `known` has the others. Raises UsageError."""
    base = image.base or ""
    while base in known:
        base = known[base].base or ""
    tag = base.rpartition(":")[2]
    for system, release in RELEASES.items():
        if release in tag or system.lower().replace("-", "") in tag:
            return system
    needed = f"a tag that names one of {', '.join(RELEASES)}"
    raise UsageError(f"base image {base} of {image.name}", needed, "Correct it in versions.yml.")


def platforms(python: str) -> list[str]:
    """Platforms of the wheels that the system of this Python takes, the newest first."""
    [glibc] = [GLIBC[system] for system, version in PYTHONS.items() if version == python]
    newer = [f"manylinux_2_{minor}_x86_64" for minor in range(glibc, 4, -1)]
    return [*newer, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
