"""Check that the package registries answer, before anything is fetched. Standard library only."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab.errors import LabError
from lab.machine.fitness import Fault
from lab.shell import attempt


def check() -> None:
    """Raise one LabError that names every registry that did not answer, and the setting that chooses it."""
    faults = [f for f in (_debian(), _python(), _go()) if f]
    if faults:
        found, needed, remedy = ("; ".join(part) for part in zip(*faults, strict=True))
        raise LabError(found, needed, f"{remedy}; then run `make up` again")


def _debian() -> Fault | None:
    done = attempt("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2")
    if done.returncode == 0:
        return None
    found = f"Debian's package registry did not answer:\n  {done.stderr.strip()[-400:]}"
    return found, "a reachable apt source", "check the network and /etc/apt"


def _python() -> Fault | None:
    done = attempt(sys.executable, "-m", "pip", "--timeout", "20", "--retries", "1", "index", "versions", "uv")
    # Debian's python3 may be without pip: then the installation shows pip's own message.
    if done.returncode == 0 or "No module named pip" in done.stderr:
        return None
    found = f"the Python package registry did not answer:\n  {done.stderr.strip()[-400:]}"
    return found, "a reachable package index", "check pip's configuration (`pip config list`)"


def _go() -> Fault | None:
    with tempfile.TemporaryDirectory() as outside_any_module:
        done = attempt("go", "list", "-m", "-versions", "golang.org/x/text", cwd=Path(outside_any_module))
    if done.returncode == 0:
        return None
    found = f"the Go module proxy did not answer:\n  {done.stderr.strip()[-400:]}"
    return found, "a reachable module proxy", "check `go env GOPROXY`"
