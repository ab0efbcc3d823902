"""Print the packages that the images install on each base, one a line. The site's apt mirror must hold them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .catalog import CATALOG, VERSIONS, Image, ImageError, choose, load


def by_base(images: Sequence[Image]) -> dict[str, set[str]]:
    """Packages by the base in the site registry that they are installed on, directly or through another image."""
    bases = {image.name: image.base for image in images}
    packages: dict[str, set[str]] = {}
    for image in images:
        base = image.base
        while base is not None and ":" not in base:
            base = bases[base]
        if base is not None and image.packages:
            packages.setdefault(base, set()).update(image.packages)
    return packages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", required=True, help="variant of the runtime: cpu or cuda")
    parser.add_argument("--base", help="only the packages on this base, without a heading")
    parser.add_argument("--catalog", type=Path, action="append", help="catalogue that replaces images/catalog.yml")
    parser.add_argument("--versions", type=Path, default=VERSIONS, help="file that replaces versions.yml")
    options = parser.parse_args()
    catalogue = [image for path in options.catalog or [CATALOG] for image in load(path, options.versions)]
    try:
        packages = by_base(choose(catalogue, options.variant))
        if options.base and options.base not in packages:
            raise ImageError(f"--base {options.base}", f"one of {', '.join(packages)}", "name one of them")
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    for base, names in packages.items():
        if options.base is None:
            print(f"# on {base}")
        if options.base in (None, base):
            print("\n".join(sorted(names)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
