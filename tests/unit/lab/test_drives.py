"""Drives of a virtual machine go and come in slots, and QEMU's next start knows which are in."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.hosts import drives

GONE = {"event": "DEVICE_DELETED"}
Monitor = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    drives.fill(tmp_path)
    return tmp_path


@pytest.fixture
def monitor(folder: Path) -> Iterator[Monitor]:
    """Start a stand-in for QEMU's monitor that takes one visitor; returns what it was asked."""
    threads = []

    def start(*answers: dict[str, Any]) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []
        server = socket.socket(socket.AF_UNIX)
        (folder / drives.MONITOR).unlink(missing_ok=True)
        server.bind(str(folder / drives.MONITOR))
        server.listen()

        def serve() -> None:
            with server, server.accept()[0] as connection, connection.makefile("rw") as lines:
                print(json.dumps({"QMP": {}}), file=lines, flush=True)
                for reply in ({"return": {}}, *answers):
                    if "event" not in reply:
                        asked.append(json.loads(lines.readline()))
                    print(json.dumps(reply), file=lines, flush=True)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return asked

    yield start
    for thread in threads:
        thread.join()


def test_a_drive_is_out_once_the_machine_has_let_it_go(folder: Path, monitor: Monitor) -> None:
    asked = monitor({"return": {}}, GONE)
    drives.pull(folder, 1)
    assert asked[-1] == {"execute": "device_del", "arguments": {"id": "drive1"}}
    options = (folder / drives.OPTIONS).read_text()
    assert "serial=RACK0" in options
    assert "RACK1" not in options


def test_a_new_drive_is_empty_and_has_a_serial_number_of_its_own(folder: Path, monitor: Monitor) -> None:
    monitor({"return": {}}, GONE)
    drives.pull(folder, 1)
    asked = monitor({"return": {}}, {"return": {}})
    drives.insert(folder, 1)
    assert (asked[-1]["arguments"]["serial"], asked[-1]["arguments"]["bus"]) == ("RACK2", "slot1")
    assert (folder / "drive2").stat().st_blocks == 0
    assert "serial=RACK2,drive=drive2-file,bus=slot1" in (folder / drives.OPTIONS).read_text()


@pytest.mark.parametrize("change", [lambda folder: drives.insert(folder, 0), lambda folder: drives.pull(folder, 2)])
def test_a_slot_is_filled_once_and_emptied_once(folder: Path, change: Callable[[Path], None]) -> None:
    with pytest.raises(LabError, match="slot"):
        change(folder)


def test_a_drive_that_the_machine_keeps_stays_in(folder: Path, monitor: Monitor) -> None:
    monitor({"error": {"desc": "Device 'drive1' not found"}})
    with pytest.raises(LabError, match="not found"):
        drives.pull(folder, 1)
    assert "serial=RACK1" in (folder / drives.OPTIONS).read_text()
