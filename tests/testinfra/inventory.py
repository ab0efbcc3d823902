"""Hosts and expected values of a site, read from its inventory by Ansible's own code."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from ansible.cli import CLI
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE_INVENTORY", ROOT / "inventory/local"))

# Before a test imports a plugin: Ansible knows a collection only when its own finder has imported it.
if not AnsibleCollectionConfig.collection_finder:
    init_plugin_loader()


@cache
def _managers() -> tuple[DataLoader, InventoryManager, VariableManager]:
    loader = DataLoader()
    # ANSIBLE_VAULT_PASSWORD_FILE opens a vault here as it does for ansible-playbook.
    loader.set_vault_secrets(CLI.setup_vault_secrets(loader, vault_ids=[], auto_prompt=False))
    inventory = InventoryManager(loader=loader, sources=[str(SITE)])
    return loader, inventory, VariableManager(loader=loader, inventory=inventory)


def hosts(group: str) -> list[str]:
    return [host.name for host in _managers()[1].get_hosts(group)]


class Expected:
    """Variables of one host with their templates resolved; what the site leaves out comes from the role itself."""

    def __init__(self, host: str) -> None:
        loader, inventory, manager = _managers()
        self._variables = manager.get_vars(host=inventory.get_host(host))
        self._variables["hostvars"] = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
        # The same values as in a run for this host alone.
        self._variables |= {name: [host] for name in ("ansible_play_hosts", "ansible_play_hosts_all")}
        self._loader = loader

    def __getitem__(self, name: str) -> Any:
        if name not in self._variables:
            self._add_role(name.lstrip("_"))
        return Templar(loader=self._loader, variables=self._variables).template(self._variables[name])

    def _add_role(self, name: str) -> None:
        """Add the defaults and private variables of the role that owns this variable; the site's values win."""
        role = next(path for path in (ROOT / "ansible/roles").iterdir() if name.startswith(f"{path.name}_"))
        for part in ("defaults", "vars"):
            file = role / part / "main.yml"
            variables = self._loader.load_from_file(str(file), trusted_as_template=True) if file.exists() else {}
            self._variables = {**variables, **self._variables}

    def get(self, name: str, otherwise: Any = None) -> Any:
        return self[name] if name in self._variables else otherwise
