"""Images in the site's registry: other projects' ones, which were carried there, and this project's, built there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.hosts import rack
from lab.mirror import bundles, client, image_builds, server, wheels
from lab.mirror.bundles import Bundle
from lab.paths import MIRROR_DATA
from mirror.carry.image_layout import NAME

STATEMENTS = MIRROR_DATA / "provenance"
"""Statements of how images were built; they stay as long as the registry's images."""
CARRIED = server.REGISTRY / "carried.json"
"""Digests of the carried images that the registry took, by name; it goes with the registry's content."""
COSTS = {"runtime-base": 15, "runtime": 15}
# The stack names these by digest, and all others by the tags of their projects. The second name is the image's own.
BUILT = {"runtime": "runtime", "prometheus": "prometheus", "alertmanager": "alertmanager"}


def build() -> tuple[dict[str, str], list[str]]:
    """Bring and build what the registry lacks; returns references by digest, and the names of new images."""
    new = _carry(bundles.images())
    images, built = image_builds.run(
        client.REGISTRY, "--variant", "cpu", "--wheels", wheels.locked(), "--code", wheels.built(),
        "--provenance", STATEMENTS, reached_at=client.REGISTRY_ADDRESS, env=client.environment(), costs=COSTS,
    )  # fmt: skip
    rack.forget_images({images[name].partition("@")[0] for name in built})
    references = {key: images[name] for key, name in BUILT.items()}
    [(gateway, digest)] = [entry for entry in _taken().items() if entry[0].startswith("envoyproxy/envoy:")]
    references["gateway"] = f"{client.REGISTRY}/{gateway.partition(':')[0]}@{digest}"
    return references, new + built


def carry_more(name: str, catalogue: str, settings: Mapping[str, Any]) -> list[str]:
    """Bring the images that a stack with other settings needs besides; returns the names of new ones."""
    return _carry(bundles.more_images(name, catalogue, settings))


def _carry(bundle: Bundle) -> list[str]:
    """Import a bundle unless the registry took all of its images before; returns the names of those that are new."""
    carried = _digests(bundle.obtain() / "images")
    taken = _taken()
    new = {name: digest for name, digest in carried.items() if taken.get(name) != digest}
    if new:
        bundles.bring_images(bundle)
        rack.forget_images({f"{client.REGISTRY}/{name.rpartition(':')[0]}" for name in new})
        CARRIED.write_text(json.dumps(taken | carried, indent=1))
    return [name.rpartition(":")[0].rpartition("/")[2] for name in new]


def _taken() -> dict[str, str]:
    return json.loads(CARRIED.read_text()) if CARRIED.exists() else {}


def _digests(layouts: Path) -> dict[str, str]:
    """Digests of a folder's images by repository and tag."""
    return {
        f"{index.parent.relative_to(layouts)}:{entry['annotations'][NAME]}": entry["digest"]
        for index in layouts.rglob("index.json")
        for entry in json.loads(index.read_text())["manifests"]
    }
