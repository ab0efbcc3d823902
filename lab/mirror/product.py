"""`qwen-mirror` as this site runs it: the command that fills, signs and imports, with what is the lab's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lab import versions
from lab.mirror import upstream
from lab.paths import REPO
from lab.progress import Parts
from lab.shell import logged, output

COMMAND = (sys.executable, "mirror/qwen-mirror")
CATALOGUES = (
    "lab/kubernetes/images.yml",
    "lab/gateway/images.yml",
    "images/catalog.yml",
    "lab/gpu/programs/images.yml",
)


def listed(*options: str) -> str:
    """The list of the lab's site as JSON."""
    return output(*COMMAND, "list", "inventory/local", "--format", "json", *_site(), *options, cwd=REPO)


def fill(
    folder: Path, *options: str | Path, progress: Parts | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Fill a folder with what the lab's site needs."""
    argv = (*COMMAND, "fill", "inventory/local", "--out", folder, *_site(), *options)
    logged("mirror", *argv, cwd=REPO, env=env, progress=progress)


def sign(folder: Path, key: Path) -> None:
    logged("mirror", *COMMAND, "sign", folder, "--key", key, cwd=REPO)


def bring(folder: Path, *options: str | Path, env: Mapping[str, str]) -> None:
    """Import a folder, which is verified first."""
    logged("mirror", *COMMAND, "import", "inventory/local", folder, *_site(), *options, cwd=REPO, env=env)


def _site() -> list[str | Path]:
    catalogues = (f"--catalog={path}" for path in CATALOGUES)
    return ["--variant=cpu", f"--versions={versions.written()}", f"--upstream={upstream.table()}", *catalogues]
