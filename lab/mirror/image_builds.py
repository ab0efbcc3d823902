"""Runs of `images.build`, for the site's registry and for the one that stands in for other projects' registries."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from lab import versions
from lab.mirror import authority, client
from lab.paths import BIN, CACHE, REPO
from lab.progress import Parts
from lab.shell import logged

WORK = CACHE / "images"
BEGUN, TOTAL = r"^\s*image \d+ of \d+: (\S+)", r"^\s*image \d+ of (\d+)"
"""Patterns of the lines that begin an image, of `images.build` and of `qwen-mirror fill`."""


def run(
    registry: str,
    *options: str | Path,
    reached_at: str,
    env: Mapping[str, str],
    costs: Mapping[str, int] = MappingProxyType({}),
) -> tuple[dict[str, str], list[str]]:
    """Build and push what a registry lacks; returns all references by digest, and the names of those built.

    `costs`: how many times as long as the others these images take.
    """
    text = logged(
        "images",
        sys.executable, "-m", "images.build", "--registry", registry, "--push-to", reached_at,
        "--apt", client.APT, "--apt-key", client.APT_KEY, "--apt-ca", authority.CERTIFICATE,
        "--bin", BIN, "--versions", versions.written(), "--work", WORK, *options,
        cwd=REPO, env=env, progress=Parts(BEGUN, TOTAL, costs),
    )  # fmt: skip
    report = json.loads(text.splitlines()[-1])
    return report["images"], report["built"]
