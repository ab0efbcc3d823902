"""Check that this machine is fit for the lab. It names every shortfall at once, before any change.

Standard library only: nothing is installed yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.machine import ports
from lab.paths import CACHE

CORES = 2
MEMORY_GIB = 20  # two replicas of the small model, two Kubernetes nodes and one image build
DISK_COLD_GB = 35  # peak of a first run: Go's caches, then wheels and the runtime image, which exists three times
DISK_WARM_GB = 15  # what the lab itself occupies once the caches are full
GO_MINOR = 26
FILLED = CACHE / "filled"  # made at the end of the first complete run: the caches are full


def check(*, lab_is_up: bool) -> str:
    """Raise one LabError that lists every shortfall; returns cores, memory and free disk."""
    faults = [fault for fault in (_root(), system(), _cores(), _memory(), _disk(), _go()) if fault]
    if not lab_is_up:
        faults += _ports()
    if faults:
        found, needed, remedies = zip(*faults, strict=True)
        raise LabError("; ".join(found), "; ".join(needed), "; ".join(dict.fromkeys(remedies)))
    return f"{os.cpu_count()} cores, {memory_gib():.0f} GiB, {free_gb():.0f} GB free"


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def free_gb() -> float:
    path = CACHE
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / 1e9


Fault = tuple[str, str, str]


def _root() -> Fault | None:
    if os.geteuid() == 0:
        return None
    return f"user id {os.geteuid()}", "root: hosts are privileged containers", "run `sudo make up`"


def system(release: Path = Path("/etc/os-release")) -> Fault | None:
    facts = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    name = facts.get("ID", "?").strip('"'), facts.get("VERSION_ID", "?").strip('"'), os.uname().machine
    if name == ("debian", "12", "x86_64"):
        return None
    return f"system {' '.join(name)}", "debian 12 x86_64", "use a Debian 12 machine or virtual machine"


def _cores() -> Fault | None:
    cores = len(os.sched_getaffinity(0))
    return None if cores >= CORES else (f"{cores} core", f"{CORES} cores", "give the machine more cores")


def _memory() -> Fault | None:
    memory = memory_gib()
    if memory >= MEMORY_GIB:
        return None
    return f"{memory:.1f} GiB of memory", f"{MEMORY_GIB} GiB", "give the machine more memory"


def _disk() -> Fault | None:
    needed = DISK_WARM_GB if FILLED.exists() else DISK_COLD_GB
    free = free_gb()
    if free >= needed:
        return None
    return (
        f"{free:.0f} GB free for {CACHE}",
        f"{needed} GB",
        "free some disk, or set QWEN_ONPREM_CACHE to a folder on a larger one",
    )


def _go() -> Fault | None:
    remedy = f"install Go 1.{GO_MINOR} or newer and put it on PATH"
    if not shutil.which("go"):
        return "no Go on PATH", f"Go 1.{GO_MINOR}", remedy
    version = subprocess.run(["go", "env", "GOVERSION"], text=True, capture_output=True, check=False).stdout.strip()
    minor = version.removeprefix("go1.").split(".")[0]
    if minor.isdigit() and int(minor) >= GO_MINOR:
        return None
    return f"Go version {version or 'unknown'}", f"Go 1.{GO_MINOR}", remedy


def _ports() -> list[Fault]:
    return [
        (
            f"127.0.0.1:{port} is in use{ports.holder(port)}",
            f"port {port} free for the {use}",
            "end the program that holds it",
        )
        for port, use in ports.USES.items()
        if ports.taken(port)
    ]
