"""A Debian package from a tree of files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.shell import output

UNITS = Path("usr/lib/systemd/system")


def package(
    tree: Path, into: Path, version: str, depends: str = "", *, control: Mapping[str, str] | None = None, **fields: str
) -> None:
    """Pack a tree as a package with the name of its folder.

    control: further files of the package's control archive, such as maintainer scripts
    fields:  further fields of its control file, such as relations to other packages
    """
    fields = {
        "Package": tree.name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "qwen-onprem lab <lab@localhost>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": depends,
        **fields,
        "Description": f"{tree.name}, built by the lab",
    }
    write(tree / "DEBIAN/control", "".join(f"{k}: {v}\n" for k, v in fields.items() if v))
    for name, text in (control or {}).items():
        write(tree / "DEBIAN" / name, text)
        (tree / "DEBIAN" / name).chmod(0o755 if text.startswith("#!") else 0o644)
    deb = into / f"{tree.name}_{version}_amd64.deb"
    output("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, deb)


def install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
