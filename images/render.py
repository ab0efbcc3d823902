"""Render every Containerfile.j2 with versions.yml. `--check` writes nothing and shows what differs."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from catalog import ROOT, Image, environment, load, versions


def render(image: Image) -> str:
    assert image.template is not None
    name = image.template.relative_to(ROOT / "images").as_posix()
    return environment().get_template(name).render(versions(), image=image, template=name)


def differences() -> dict[Path, str]:
    """Committed Containerfiles that are not what their template gives, each with a unified diff."""
    found = {}
    for image in load():
        path, wanted = image.containerfile, render(image)
        committed = path.read_text() if path.exists() else ""
        if committed != wanted:
            relative = path.relative_to(ROOT).as_posix()
            lines = difflib.unified_diff(committed.splitlines(True), wanted.splitlines(True), relative, "rendered")
            found[path] = "".join(lines)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a committed file is not up to date")
    check = parser.parse_args().check
    found = differences()
    if check:
        sys.stdout.writelines(found.values())
        if found:
            print(f"found: {len(found)} outdated Containerfile(s)\nneeded: none\ndo: python images/render.py")
        return 1 if found else 0
    for image in load():
        if image.containerfile in found:
            image.containerfile.write_text(render(image))
            print(image.containerfile.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
