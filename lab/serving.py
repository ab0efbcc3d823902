"""The serving environment on this machine, from the wheels that the runtime image is made of: contract tests ask it."""

from __future__ import annotations

import shutil
import sys

from lab import store, wheels
from lab.paths import CACHE
from lab.shell import logged

ENVIRONMENT = CACHE / "serving"


def ensure() -> str | None:
    """Make the environment from its lock; keep it while wheels and lock are the same."""
    locked, built = wheels.locked(), wheels.built()
    made_from = store.key(str(locked), str(built))
    stamp = ENVIRONMENT / "made-from"
    if stamp.exists() and stamp.read_text() == made_from:
        return None
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    logged("serving", sys.executable, "-m", "venv", "--without-pip", ENVIRONMENT)
    pip = (sys.executable, "-m", "pip", "-q", "--python", ENVIRONMENT / "bin/python", "install", "--no-compile")
    logged("serving", *pip, "--no-index", *wheels.HASHED, "--find-links", locked, "-r", wheels.LOCK)
    logged("serving", *pip, "--no-index", "--no-deps", *built.glob("*.whl"))
    stamp.write_text(made_from)
    return f"installed {wheels.LOCK.name} into {ENVIRONMENT}"
