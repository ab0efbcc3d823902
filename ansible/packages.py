"""Print the Debian packages that the roles install on a group of hosts, one a line, for the site's apt mirror.

The list is computed from the roles' tasks with the inventory's values, so it has every package that a role names. A
pinned package has its version behind `=`. Packages that only some settings need are listed too, dependencies are
not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.cli import CLI
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

from ansible import constants

HERE = Path(__file__).resolve().parent
RELEASES = {"Debian-12": "bookworm", "Ubuntu-22.04": "jammy", "Ubuntu-24.04": "noble"}
# Stands in a package's name instead of a kernel's version, where the package brings the newest kernel.
KERNELS = {"Debian": "amd64", "Ubuntu": "generic"}
ROLE_MODULES = ("ansible.builtin.import_role", "ansible.builtin.include_role")
TASK_LISTS = ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always")
PACKAGE_MODULES = {"ansible.builtin.apt": "name", "qwen_onprem.hosts.pinned_packages": "packages"}


class Site:
    """An inventory, and the playbooks that say which hosts a role is for."""

    def __init__(self, inventory: str, system: str, loader: DataLoader) -> None:
        self.loader = loader
        self.inventory = InventoryManager(loader, sources=[inventory])
        self.variables = VariableManager(loader, self.inventory)
        distribution, _, version = system.partition("-")
        self.facts = {
            "distribution": distribution,
            "distribution_version": version,
            "distribution_major_version": version.partition(".")[0],
            "distribution_release": RELEASES[system],
            "kernel": KERNELS[distribution],
            "architecture": "x86_64",
        }

    def packages(self, group: str) -> set[str]:
        roles: dict[str, set[str]] = {}
        for pattern, role in self._plays():
            roles.setdefault(role, set()).update(host.name for host in self.inventory.get_hosts(pattern))
        return {
            package
            for host in self.inventory.get_hosts(group)
            for role, names in roles.items()
            if host.name in names
            for package in self._role_packages(role, self.variables.get_vars(host=host))
        }

    def _plays(self) -> Iterator[tuple[str, str]]:
        """Pattern of hosts and name of a role, for every role of every playbook."""
        for playbook in sorted(HERE.glob("*.yml")):
            for play in self._read(playbook):
                listed = [entry if isinstance(entry, str) else entry["role"] for entry in play.get("roles", [])]
                calls = [task[m] for task in _tasks(play) for m in ROLE_MODULES if m in task]
                # Another entry point runs on hosts that main has run on.
                imported = [call["name"] for call in calls if "tasks_from" not in call]
                yield from ((play["hosts"], role) for role in (*listed, *imported) if "{{" not in role)

    def _role_packages(self, role: str, host: Mapping[str, Any]) -> Iterator[str]:
        home = HERE / "roles" / role
        variables = {
            **self._read(home / "defaults/main.yml"),
            **host,
            **self._read(home / "vars/main.yml"),
            **self._read(home / f"vars/{self.facts['distribution']}.yml"),
            "ansible_facts": self.facts,
            "ansible_check_mode": False,
        }
        for file in sorted(home.glob("tasks/*.yml")):
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
        return (self.loader.load_from_file(str(file), trusted_as_template=True) if file.exists() else None) or {}


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--inventory", required=True, help="the site's inventory")
    parser.add_argument("--group", required=True, help="group of hosts, such as gpu")
    parser.add_argument("--system", required=True, choices=sorted(RELEASES), help="what these hosts run")
    parser.add_argument("--vault-password-file", action="append", default=[], help="of the inventory's vault")
    parser.add_argument("--ask-vault-pass", action="store_true", help="ask for it")
    options = parser.parse_args()
    loader = DataLoader()
    try:
        loader.set_vault_secrets(
            CLI.setup_vault_secrets(
                loader,
                constants.DEFAULT_VAULT_IDENTITY_LIST,
                vault_password_files=options.vault_password_file,
                ask_vault_pass=options.ask_vault_pass,
                auto_prompt=False,
            )
        )
        packages = Site(options.inventory, options.system, loader).packages(options.group)
    except AnsibleError as problem:
        print(problem, file=sys.stderr)
        return 1
    print("\n".join(sorted(packages)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
