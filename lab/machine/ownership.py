"""Owner of the lab on this machine: only one lab fits on a machine."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from lab.errors import LabError
from lab.paths import REPO, STATE

OWNER = STATE / "owner.json"


def lock() -> IO[str]:
    """Reserve the machine's lab for this process, until it closes the file; a second run is refused."""
    STATE.mkdir(parents=True, exist_ok=True)
    held = (STATE / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as busy:
        held.close()
        raise LabError(
            "another `make up` or `make down` is running on this machine", "one at a time", "wait for it, or end it"
        ) from busy
    return held


def owner() -> Path | None:
    """The clone that the lab on this machine belongs to; None when there is no lab."""
    return Path(json.loads(OWNER.read_text())["clone"]) if OWNER.exists() else None


def foreign() -> Path | None:
    """The owner, when it is another clone; else None."""
    clone = owner()
    return clone if clone and clone != REPO else None


def refuse(other: Path) -> LabError:
    command = f"make -C {other} down" if (other / "Makefile").exists() else "make down FORCE=1"
    return LabError(
        f"a lab of another clone stands on this machine: {other}",
        "no other lab: addresses, ports and containers would clash",
        f"run `{command}`, then `make up` again",
    )


def unattended() -> bool:
    """Whether this runs in CI: nobody can answer there, and a lab of an earlier job may be removed."""
    return os.environ.get("CI") == "true"


def claim() -> None:
    partial = OWNER.with_suffix(".partial")
    partial.write_text(json.dumps({"clone": str(REPO)}))
    partial.rename(OWNER)


def release() -> None:
    OWNER.unlink(missing_ok=True)
