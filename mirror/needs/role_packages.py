"""Debian packages that the roles install, read from the roles' tasks with the inventory's values.

Packages that only some settings need are listed too, dependencies are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from mirror.site import Host
from mirror.systems import RELEASES

PLAYBOOKS = Path(__file__).resolve().parents[2] / "ansible"
# Stands in a package's name instead of a kernel's version, where the package brings the newest kernel.
KERNELS = {"Debian": "amd64", "Ubuntu": "generic"}
ROLE_MODULES = ("ansible.builtin.import_role", "ansible.builtin.include_role")
TASK_LISTS = ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always")
PACKAGE_MODULES = {"ansible.builtin.apt": "name", "qwen_onprem.hosts.pinned_packages": "packages"}


class RolePackages:
    """Packages that the roles install on the hosts of an inventory, if these run one system."""

    def __init__(self, loader: DataLoader, inventory: InventoryManager, system: str) -> None:
        self.loader, self.inventory = loader, inventory
        distribution, _, version = system.partition("-")
        self.facts = {
            "distribution": distribution,
            "distribution_version": version,
            "distribution_major_version": version.partition(".")[0],
            "distribution_release": RELEASES[system],
            "kernel": KERNELS[distribution],
            "architecture": "x86_64",
        }
        roles: dict[str, set[str]] = {}
        for pattern, role in self._plays():
            if pattern.isidentifier() and pattern not in inventory.groups:
                continue  # a group that this site does not have, which Ansible would warn of
            roles.setdefault(role, set()).update(host.name for host in inventory.get_hosts(pattern))
        self.roles = roles

    def on(self, host: Host) -> set[str]:
        """Packages of one host, with `=version` behind what is pinned. Raises AnsibleError."""
        return {
            package
            for role, names in self.roles.items()
            if host.name in names
            for package in self._role_packages(role, host.variables)
        }

    def _plays(self) -> Iterator[tuple[str, str]]:
        """Pattern of hosts and name of a role, for every role of every playbook."""
        for playbook in sorted(PLAYBOOKS.glob("*.yml")):
            for play in self._read(playbook):
                listed = [entry if isinstance(entry, str) else entry["role"] for entry in play.get("roles", [])]
                calls = [task[m] for task in _tasks(play) for m in ROLE_MODULES if m in task]
                # Another entry point runs on hosts that main has run on.
                imported = [call["name"] for call in calls if "tasks_from" not in call]
                yield from ((play["hosts"], role) for role in (*listed, *imported) if "{{" not in role)

    def _role_packages(self, role: str, host: Mapping[str, Any]) -> Iterator[str]:
        home = PLAYBOOKS / "roles" / role
        variables = {
            **self._read(home / "defaults/main.yml"),
            **host,
            **self._read(home / "vars/main.yml"),
            **self._read(home / f"vars/{self.facts['distribution']}.yml"),
            "ansible_facts": self.facts,
            "ansible_check_mode": False,
        }
        for file in _installing(home):
            for task in _tasks({"tasks": self._read(file)}):
                for module, argument in PACKAGE_MODULES.items():
                    arguments = task.get(module, {})
                    if argument not in arguments or arguments.get("state") == "absent":
                        continue
                    task_variables = {**variables, **task.get("vars", {})}
                    try:
                        yield from _listed(Templar(self.loader, variables=task_variables).template(arguments[argument]))
                    except AnsibleError as problem:
                        raise AnsibleError(
                            f"found: packages of {role}, task '{task['name']}', that depend on what is read on a host\n"
                            f"needed: names from the role's defaults and vars ({problem})\n"
                            "remedy: put them there, with default() for what a run finds out"
                        ) from problem

    def _read(self, file: Path) -> Any:
        """The file's content, or an empty one. Callers change none of it, so that no copy is needed."""
        if not file.exists():
            return {}
        return self.loader.load_from_file(str(file), unsafe=True, trusted_as_template=True) or {}


@cache
def _installing(role: Path) -> list[Path]:
    """The files of a role's tasks that name a module for packages; to parse all takes three times as long."""
    files = sorted(role.glob("tasks/*.yml"))
    return [file for file in files if any(module in file.read_text() for module in PACKAGE_MODULES)]


def _tasks(parent: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in TASK_LISTS:
        for task in parent.get(name) or []:
            yield task
            yield from _tasks(task)


def _listed(value: Any) -> Iterator[str]:
    """Packages as `name` or `name=version`, from versions by name (`*`: any), a list of names, or one name."""
    if not isinstance(value, Mapping):
        value = dict.fromkeys([value] if isinstance(value, str) else value, "*")
    for name, version in value.items():
        if version == "*":
            yield str(name)
        # A version without anything before the revision: these hosts do not take the package.
        elif version and not str(version).startswith("-"):
            yield f"{name}={version}"
