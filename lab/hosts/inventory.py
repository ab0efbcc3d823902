"""Facts of the rack that inventory/local has: hosts, the network and the name of the mirror."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from lab.paths import REPO

FOLDER = REPO / "inventory/local"


def hosts(group: str = "") -> dict[str, str]:
    """Names and addresses of all hosts, or of one group's, in the order of the inventory."""
    addresses: dict[str, str] = {}
    _collect(yaml.safe_load((FOLDER / "hosts.yml").read_text()), group, addresses)
    return addresses


@cache
def site() -> dict[str, Any]:
    """Facts of the site, as they are written: a value with a Jinja expression is not rendered."""
    facts: dict[str, Any] = yaml.safe_load((FOLDER / "group_vars/all/site.yml").read_text())
    return facts


def _collect(groups: dict[str, Any], wanted: str, into: dict[str, str]) -> None:
    for name, group in groups.items():
        still_wanted = "" if name == wanted else wanted
        for host, variables in ((group or {}).get("hosts") or {}).items():
            if not still_wanted and variables and "ansible_host" in variables:
                into[host] = variables["ansible_host"]
        _collect((group or {}).get("children") or {}, still_wanted, into)
