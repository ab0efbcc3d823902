"""Print the images that a site copies from their projects: source, then name in the site's registry."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

import yaml

from .catalog import ROOT, environment, versions

TABLE = ROOT / "images/upstream.yml"


def load() -> dict[str, str]:
    """Name in the site registry (repository:tag) by source reference, for every image that a site copies."""
    text = environment().from_string(TABLE.read_text()).render(versions())
    sources: Mapping[str, str] = yaml.safe_load(text)
    return {source: f"{repository}:{source.rpartition(':')[2]}" for repository, source in sources.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--registry", required=True, metavar="HOST[:PORT]", help="the site's registry")
    parser.add_argument("--skopeo", action="store_true", help="print commands that copy the images")
    options = parser.parse_args()
    rows = [(source, f"{options.registry}/{name}") for source, name in load().items()]
    if options.skopeo:
        print("\n".join(f"skopeo copy --preserve-digests docker://{source} docker://{name}" for source, name in rows))
        return 0
    width = max(len(source) for source, _ in rows)
    print("\n".join(f"{source:<{width}}  {name}" for source, name in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
