"""The playbook that production runs, on inventory/local: it makes a Ready cluster of bare hosts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from lab.errors import LabError
from lab.paths import CONTROLLER_ENV, LAB, REPO
from lab.progress import Parts
from lab.shell import attempt, logged

# An estimate: some tasks depend on the host, so the number is known only at the end.
TASKS = Parts(r"^TASK \[(.+)\]", 300)
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def environment() -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(REPO / "ansible/ansible.cfg"),
        "ANSIBLE_HOME": str(LAB / "ansible"),
        # The controller and all hosts share two cores, and this strategy halves the processor time (docs/adr/0033).
        "ANSIBLE_STRATEGY": os.environ.get("ANSIBLE_STRATEGY", "mitogen_linear"),
        "ANSIBLE_STRATEGY_PLUGINS": str(REPO / "lab/cluster/ansible_strategies"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def converge(**extra: list[str] | dict[str, str]) -> tuple[dict[str, int], str | None]:
    """Run site.yml; returns the number of changed tasks per host, and the step's result."""
    text = logged(
        "ansible",
        *(CONTROLLER_ENV / "bin/ansible-playbook", "-i", "inventory/local", "ansible/site.yml"),
        *("--extra-vars", json.dumps(extra)),
        cwd=REPO,
        env=environment(),
        progress=TASKS,
    )
    recap = {host: int(changed) for host, _, changed, _, _ in RECAP.findall(text)}
    if not recap:
        raise LabError("ansible-playbook printed no recap", "one line per host", "read .lab/logs/ansible.log")
    if not any(recap.values()):
        return recap, None
    return recap, ", ".join(f"{host}: changed={changed}" for host, changed in sorted(recap.items()))


def disconnect(lab_folder: Path) -> None:
    """End the ssh connections that Ansible keeps open between runs. Once the hosts are gone they would last minutes."""
    for socket in (lab_folder / "ansible/cp").glob("*"):
        attempt("ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any-host")
