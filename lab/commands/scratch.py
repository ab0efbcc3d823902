"""Scratch hosts: bare hosts beside the rack, on which molecule tries one role at a time."""

from __future__ import annotations

import json

from lab.errors import LabError
from lab.hosts import podman, rack
from lab.mirror import server


def up(names: list[str], with_gpus: dict[str, str]) -> int:
    """Boot the hosts that are not up; prints what molecule needs to reach them."""
    if not podman.alive(server.CONTAINER):
        raise LabError("the site mirror is not up", "a mirror that scratch hosts install from", "run `make up` first")
    addresses = rack.ensure_scratch(names, with_gpus)
    print(json.dumps([rack.reach(name, address) for name, address in addresses.items()]))
    return 0


def down(names: list[str]) -> int:
    rack.remove_scratch(names)
    return 0
