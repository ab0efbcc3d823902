"""The serving environment on this machine, from the wheels of the runtime image; contract tests run in it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from lab.mirror import bundles, wheels
from lab.paths import CACHE
from lab.progress import LAST_LINE
from lab.shell import logged

ENVIRONMENT = CACHE / "serving"
PIP = (sys.executable, "-m", "pip", "-q", "--python", ENVIRONMENT / "bin/python", "install", "--no-index", "--no-deps")


def ensure() -> str | None:
    """Install the locked packages and those that are built here; None when they are installed already."""
    built = wheels.built()
    done = [
        _install("locked", wheels.locked(), "--require-hashes", "-r", bundles.LOCK, from_nothing=True),
        _install("built", built, "--force-reinstall", *sorted(built.glob("*.whl")), from_nothing=False),
    ]
    return f"installed into {ENVIRONMENT}" if any(done) else None


def _install(name: str, folder: Path, *packages: str | Path, from_nothing: bool) -> bool:
    """Install from a folder of wheels, unless the last installation was from the same folder."""
    stamp = ENVIRONMENT / f"{name}-from"
    if stamp.exists() and stamp.read_text() == str(folder):
        return False
    if from_nothing:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        logged("serving", sys.executable, "-m", "venv", "--without-pip", ENVIRONMENT)
    logged("serving", *PIP, "--find-links", folder, *packages, progress=LAST_LINE)
    stamp.write_text(str(folder))
    return True
