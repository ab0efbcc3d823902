"""Scratch hosts: bare hosts beside the rack, on which molecule tries one role at a time."""

from __future__ import annotations

import json

from lab import hosts, mirror, podman
from lab.errors import LabError


def up(names: list[str], with_gpus: dict[str, str]) -> int:
    """Have the hosts up; prints what molecule needs to reach them."""
    if not podman.alive(mirror.CONTAINER):
        raise LabError("the site mirror is not up", "a mirror that scratch hosts install from", "run `make up` first")
    addresses = hosts.ensure_scratch(names, with_gpus)
    print(json.dumps([hosts.reach(name, address) for name, address in addresses.items()]))
    return 0


def down(names: list[str]) -> int:
    hosts.remove_scratch(names)
    return 0
