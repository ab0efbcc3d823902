"""`qwen-mirror` as this site runs it: the command that fills, signs and imports, with what is the lab's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lab import versions
from lab.mirror import client, upstream
from lab.paths import REPO
from lab.progress import Parts
from lab.shell import logged, output

COMMAND = (sys.executable, "mirror/qwen-mirror")


def listed(*options: str) -> str:
    """The list of the lab's site as JSON."""
    return output(*COMMAND, "list", "inventory/local", "--format", "json", *site_options(), *options, cwd=REPO)


def fill(folder: Path, *options: str | Path, progress: Parts, env: Mapping[str, str]) -> None:
    """Fill a folder with what the lab's site needs."""
    reached = upstream.table(upstream.addresses())
    argv = [*COMMAND, "fill", "inventory/local", "--out", folder, *site_options(reached), *options]
    logged("mirror", *argv, cwd=REPO, env=env, progress=progress)


def sign(folder: Path, key: Path) -> None:
    logged("mirror", *COMMAND, "sign", folder, "--key", key, cwd=REPO)


def bring(folder: Path, *options: str | Path, env: Mapping[str, str]) -> None:
    """Import a folder, which is verified first."""
    argv = client.resolving(*COMMAND, "import", "inventory/local", folder, *site_options(), *options)
    logged("mirror", *argv, cwd=REPO, env=env)


def site_options(table: Path | None = None) -> list[str]:
    """Options that name what is the lab's own: its versions and its table of upstreams."""
    return ["--variant=cpu", f"--versions={versions.written()}", f"--upstream={table or upstream.table()}"]
