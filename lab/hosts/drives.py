"""NVMe drives of a virtual machine, each in a slot that can be emptied and filled while the machine runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from lab.errors import LabError
from lab.shell import output

SLOTS = 2
SIZE = "1G"  # a sparse file
PULL_S = 120  # the guest lets go of the drive, and it is emulated
MONITOR = "monitor"
OPTIONS = "drives"  # QEMU's options for the drives that are in; read again at each start of QEMU


def fill(folder: Path) -> None:
    """Put a new drive into each slot of a machine that is not up."""
    _write(folder, {str(slot): _new_drive(folder) for slot in range(SLOTS)})


def pull(folder: Path, slot: int) -> None:
    """Take a drive out of a running machine.

    Raises:
        LabError: the slot is empty, or the machine does not let the drive go.
    """
    drives = _read(folder)
    if str(slot) not in drives:
        raise LabError(f"slot {slot} of {folder.name} empty", f"one of {', '.join(drives)}", "pull a drive that is in")
    drive = drives.pop(str(slot))
    _ask(folder, {"execute": "device_del", "arguments": {"id": drive}}, event="DEVICE_DELETED")
    _write(folder, drives)


def insert(folder: Path, slot: int) -> None:
    """Put a new, empty drive with a serial number of its own into an empty slot of a running machine."""
    drives = _read(folder)
    if str(slot) in drives or slot not in range(SLOTS):
        raise LabError(f"slot {slot} of {folder.name} not free", f"a free slot below {SLOTS}", "pull its drive first")
    drive = _new_drive(folder)
    options = {"driver": "raw", "node-name": f"{drive}-file", "file": {"driver": "file", "filename": drive}}
    device = {"driver": "nvme", "id": drive, "serial": _serial(drive), "drive": f"{drive}-file", "bus": f"slot{slot}"}
    _ask(folder, {"execute": "blockdev-add", "arguments": options}, {"execute": "device_add", "arguments": device})
    _write(folder, drives | {str(slot): drive})


def _new_drive(folder: Path) -> str:
    name = f"drive{len(list(folder.glob('drive[0-9]*')))}"
    output("truncate", "--size", SIZE, folder / name)
    return name


def _serial(drive: str) -> str:
    return drive.replace("drive", "RACK")


def _read(folder: Path) -> dict[str, str]:
    drives: dict[str, str] = json.loads((folder / f"{OPTIONS}.json").read_text())
    return drives


def _write(folder: Path, drives: Mapping[str, str]) -> None:
    """Record the drives by slot, for this module and as QEMU's options for its next start."""
    options = [f"-qmp unix:{MONITOR},server=on,wait=off"]
    options += [f"-device pcie-root-port,id=slot{slot},chassis={slot + 1}" for slot in range(SLOTS)]
    for slot, drive in drives.items():
        options.append(f"-blockdev driver=raw,node-name={drive}-file,file.driver=file,file.filename={drive}")
        options.append(f"-device nvme,id={drive},serial={_serial(drive)},drive={drive}-file,bus=slot{slot}")
    (folder / f"{OPTIONS}.json").write_text(json.dumps(drives))
    (folder / OPTIONS).write_text("\n".join(options))


def _ask(folder: Path, *commands: Mapping[str, Any], event: str = "") -> None:
    """Have QEMU do some things by its monitor, and wait for its answers and for the event that says that it is done.

    Raises:
        LabError: QEMU refused, or the event did not come.
    """
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as monitor:
        connection.settimeout(PULL_S)
        connection.connect(str(folder / MONITOR))
        for command in ({"execute": "qmp_capabilities"}, *commands):
            print(json.dumps(command), file=monitor, flush=True)
            _await(monitor, "return")
        if event:
            _await(monitor, event)


def _await(monitor: TextIO, wanted: str) -> None:
    """Read QEMU's lines until an answer or an event of this kind."""
    try:
        for answer in map(json.loads, monitor):
            if "error" in answer:
                raise LabError(
                    f"QEMU refused: {answer['error']['desc']}", "a drive changed", "look at the machine's log"
                )
            if wanted in (answer.get("event"), *answer):
                return
    except TimeoutError:
        pass
    raise LabError(f"no {wanted} from QEMU", f"one within {PULL_S} s", "look at the machine's console")
