"""Hosts beside the rack, on which molecule tries one role at a time: containers without any software, or machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout

from lab.errors import LabError
from lab.hosts import podman, rack, vm
from lab.mirror import server


def up(names: list[str], with_gpus: Mapping[str, str]) -> int:
    _require_mirror()
    with redirect_stdout(sys.stderr):  # progress: molecule reads standard output as JSON
        addresses = rack.ensure_scratch(names, with_gpus)
    return _print(addresses)


def down(names: list[str]) -> int:
    rack.remove_scratch(names)
    return 0


def machines_up(names: list[str]) -> int:
    _require_mirror()
    with redirect_stdout(sys.stderr):
        addresses = vm.ensure(names)
    return _print(addresses)


def machines_down(names: list[str]) -> int:
    for name in names:
        vm.remove(name)
    return 0


def _require_mirror() -> None:
    if not podman.alive(server.CONTAINER):
        raise LabError("the site mirror is not up", "a mirror that the hosts install from", "run `make up` first")


def _print(addresses: Mapping[str, str]) -> int:
    """Print what molecule needs to reach the hosts."""
    print(json.dumps([rack.reach(name, address) for name, address in addresses.items()]))
    return 0
