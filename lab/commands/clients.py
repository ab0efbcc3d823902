"""Clients that tests try at the gateway: libraries, aider, Qwen Code and Codex, from their locks into their folders."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from lab import store
from lab.errors import LabError
from lab.machine import bootstrap
from lab.paths import CACHE, REPO
from lab.progress import LAST_LINE
from lab.shell import logged

LIBRARIES_LOCK, AIDER_LOCK = REPO / "locks/clients.txt", REPO / "locks/aider.txt"
AGENTS_LOCK = REPO / "locks/agents/package-lock.json"
HOME = CACHE / "clients"
REMEDY = "fix what it names and run `make clients` again"


def _folder(name: str, lock: Path) -> Path:
    """One for each state of a lock: another branch may be at work with another one."""
    return HOME / f"{name}-{store.key(lock, sys.version)}"


LIBRARIES = _folder("libraries", LIBRARIES_LOCK)
AIDER = _folder("aider", AIDER_LOCK)
AGENTS = _folder("agents", AGENTS_LOCK)


def ensure() -> str | None:
    """Install what is not installed yet; None when all is."""
    done = [
        _install(LIBRARIES, lambda folder: _python(folder, LIBRARIES_LOCK)),
        _install(AIDER, lambda folder: _python(folder, AIDER_LOCK)),
        _install(AGENTS, _npm),
    ]
    return f"installed into {HOME}" if any(done) else None


def _install(folder: Path, make: Callable[[Path], None]) -> bool:
    """Fill a folder that gets its name only when it is complete."""
    if folder.exists():
        return False
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    make(partial)
    partial.rename(folder)
    return True


def _python(folder: Path, lock: Path) -> None:
    uv = bootstrap.uv()
    logged("clients", uv, "venv", "-q", "--relocatable", "--python", sys.executable, folder, remedy=REMEDY)
    install = (uv, "pip", "install", "--require-hashes", "-r", lock, "--python", folder / "bin/python")
    logged("clients", *install, progress=LAST_LINE, remedy=REMEDY)


def _npm(folder: Path) -> None:
    """Node.js comes from the lock too, since Qwen Code needs a newer one than Debian 12 has."""
    npm = shutil.which("npm")
    if npm is None:
        raise LabError(
            "no npm on PATH", "npm, which installs Qwen Code and Codex", "install it (`apt-get install npm`)"
        )
    folder.mkdir(parents=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(AGENTS_LOCK.with_name(file), folder)
    # The optional packages are for microphones, clipboards and pictures. `npm ci` wants all of them in the lock, and
    # some are not in the registry.
    options = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
    logged("clients", npm, "install", *options, cwd=folder, progress=LAST_LINE, remedy=REMEDY)
