"""Print as JSON what a host is: GPUs by PCI id, memory, NVMe drives, kernel, clock, ports in use, mounts, file systems.

    python3 inspect_host.py '{"pci_devices_dir": "...", "ports": ["6443"], "mounts": [], "filesystems": ["/var/lib"],
                              "packages": ["docker-ce*"], "controller_time_s": 1.7e9}'

Runs on the bare host: Python's standard library, no driver, no package. It only reads.
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

NVIDIA = "0x10de"
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECTOR_BYTES = 512  # the unit of /sys/block/*/size, whatever the drive's own sectors are
LISTENING = "0A"
INSTALLED = re.compile(r"^Status: \w+ ok installed$", re.MULTILINE)  # the first word is `hold` where it is held
TIME_ERROR = 5  # what ntp_adjtime answers while nothing disciplines the clock
TIMEX_BYTES = 256  # more than struct timex takes


def read_nvidia_devices(folder: Path) -> list[dict[str, str]]:
    """Address, id ("10de:2330") and class ("0x030200") of each NVIDIA device on the PCI bus."""
    devices = []
    for device in sorted(folder.glob("*")):
        vendor, product, kind = ((device / name).read_text().strip() for name in ("vendor", "device", "class"))
        if vendor == NVIDIA:
            devices.append({"address": device.name, "id": f"{vendor[2:]}:{product[2:]}", "class": kind})
    return devices


def read_memory_bytes(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise ValueError("/proc/meminfo has no MemTotal")


def read_packages(root: Path, patterns: list[str]) -> list[str]:
    """Installed packages whose names match a pattern, from dpkg's own file; none where there is no dpkg."""
    status = root / "var/lib/dpkg/status"
    stanzas = status.read_text(errors="replace").split("\n\n") if status.exists() else []
    names = [stanza.split("\n", 1)[0].removeprefix("Package: ") for stanza in stanzas if INSTALLED.search(stanza)]
    return sorted(name for name in names if any(fnmatch(name, pattern) for pattern in patterns))


def read_drives(root: Path) -> dict[str, int]:
    """NVMe namespaces and their bytes. Multipath's hidden twins have no device node and are left out."""
    return {
        drive.name: int((drive / "size").read_text()) * SECTOR_BYTES
        for drive in sorted((root / "sys/block").glob("nvme*n*"))
        if "c" not in drive.name
    }


def read_secure_boot(root: Path) -> bool:
    """Whether the firmware enforces it: four bytes of attributes, then the value. No EFI, no Secure Boot."""
    variable = root / SECURE_BOOT
    return variable.exists() and variable.read_bytes()[4:5] == b"\x01"


def read_mounted(root: Path, mount_points: list[str]) -> list[str]:
    """Those of the mount points on which something is mounted, even where its server does not answer."""
    mounted = {line.split()[1] for line in (root / "proc/mounts").read_text().splitlines()}
    return [path for path in mount_points if path in mounted]


def read_filesystem_bytes(path: Path) -> int:
    """Size of the file system that holds a path, or will hold it: that of the nearest folder which is there."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    filesystem = os.statvfs(there)
    return filesystem.f_blocks * filesystem.f_frsize


def is_clock_disciplined() -> bool:
    return ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(TIMEX_BYTES)) != TIME_ERROR


def read_port_holders(root: Path, ports: list[str]) -> dict[str, list[str]]:
    """Names of the processes that listen on the TCP ports asked for; free ports are left out."""
    inodes: dict[str, str] = {}
    for table in ("proc/net/tcp", "proc/net/tcp6"):
        path = root / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            port = str(int(fields[1].rsplit(":", 1)[1], 16))
            if fields[3] == LISTENING and port in ports:
                inodes[fields[9]] = port
    holders: dict[str, set[str]] = {port: set() for port in inodes.values()}
    for process in root.glob("proc/[0-9]*") if inodes else []:
        for inode in open_sockets(process) & inodes.keys():
            holders[inodes[inode]].add((process / "comm").read_text().strip())
    return {port: sorted(names) for port, names in holders.items()}


def open_sockets(process: Path) -> set[str]:
    """Inodes of a process's sockets; files that were closed meanwhile or are hidden from root are left out."""
    sockets = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for name in os.listdir(process / "fd"):
            with contextlib.suppress(FileNotFoundError):
                link = os.readlink(process / "fd" / name)
                sockets |= {link[8:-1]} if link.startswith("socket:[") else set()
    return sockets


def inspect(question: dict, root: Path = Path("/")) -> dict:
    return {
        "nvidia_devices": read_nvidia_devices(Path(question["pci_devices_dir"])),
        "memory_bytes": read_memory_bytes(root),
        "packages": read_packages(root, question["packages"]),
        "drives_bytes": read_drives(root),
        "filesystems_bytes": {path: read_filesystem_bytes(Path(path)) for path in question["filesystems"]},
        "kernel": platform.release(),
        "secure_boot": read_secure_boot(root),
        "clock_offset_s": round(time.time() - question["controller_time_s"], 1),
        "clock_disciplined": is_clock_disciplined(),
        "mounted": read_mounted(root, question["mounts"]),
        "port_holders": read_port_holders(root, question["ports"]),
    }


if __name__ == "__main__":
    print(json.dumps(inspect(json.loads(sys.argv[1]))))
