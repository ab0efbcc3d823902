"""Small Debian packages, made on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def make_package(pool: Path, name: str, version: str = "1.0-1", depends: str = "", content: bytes = b"") -> None:
    """Put a package into a folder, under the name that archives give it: without the epoch of its version.

    `content`: of the only file that it installs; it is not compressed.
    """
    tree = pool.parent / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    need = f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <n@example.internal>\n{need}"
        "Description: a package\n"
    )
    if content:
        (tree / "content").write_bytes(content)
    command = ["dpkg-deb", "--build", "-Znone", tree, pool / f"{name}_{version.rpartition(':')[2]}_amd64.deb"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    shutil.rmtree(tree)
