"""Render every Containerfile.j2 of a catalogue with versions.yml. `--check` writes nothing and shows what differs."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from .catalog import CATALOG, ROOT, Image, environment, load, versions


def render(image: Image) -> str:
    assert image.template is not None
    name = image.template.relative_to(ROOT).as_posix()
    return environment().get_template(name).render(versions(), image=image, template=name)


def differences(catalog: Path = CATALOG) -> dict[Path, str]:
    """Committed Containerfiles that differ from what their template gives, each with a unified diff."""
    outdated = {}
    for image in load(catalog):
        if image.template is None:
            continue
        path, rendered = image.containerfile, render(image)
        committed = path.read_text() if path.exists() else ""
        if committed != rendered:
            relative = path.relative_to(ROOT).as_posix()
            lines = difflib.unified_diff(committed.splitlines(True), rendered.splitlines(True), relative, "rendered")
            outdated[path] = "".join(lines)
    return outdated


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a committed file is not up to date")
    parser.add_argument("--catalog", type=Path, default=CATALOG, help="catalogue that replaces images/catalog.yml")
    options = parser.parse_args()
    catalog = options.catalog.resolve()
    outdated = differences(catalog)
    if options.check:
        sys.stdout.writelines(outdated.values())
        if outdated:
            print(f"found:  {len(outdated)} outdated Containerfile(s)\nneeded: none\nremedy: python -m images.render")
        return 1 if outdated else 0
    for image in load(catalog):
        if image.containerfile in outdated:
            image.containerfile.write_text(render(image))
            print(image.containerfile.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
