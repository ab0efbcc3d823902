"""A site as its inventory and its stack file describe it, for the questions that a mirror asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible.cli import CLI
from ansible.constants import DEFAULT_VAULT_IDENTITY_LIST
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.manager import VariableManager
from qwen_runtime import site_registry
from qwen_runtime.errors import UsageError
from qwen_runtime.site_registry import SiteRegistry

from .systems import PYTHONS, RELEASES

STACKS = Path(__file__).resolve().parents[1] / "pulumi"
STACK_KEY = "qwen-onprem:"
IDENTITY = ("inventory_hostname", "inventory_hostname_short", "ansible_host")
IMAGE_VARIABLES = ("_image", "_images")


class _Loader(DataLoader):  # type: ignore[misc]
    """A loader to which an encrypted file is empty as long as it has no password: lists need no secret."""

    def _decrypt_if_vault_data(self, b_data: bytes) -> tuple[bytes, bool]:
        if b_data.startswith(b"$ANSIBLE_VAULT") and not self._vault.secrets:
            return b"", True
        decrypted: tuple[bytes, bool] = super()._decrypt_if_vault_data(b_data)
        return decrypted


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    system: str
    variables: Mapping[str, Any]

    @property
    def shared(self) -> dict[str, Any]:
        """Variables without name and address; hosts that have the same ones need the same of a mirror."""
        return {name: value for name, value in self.variables.items() if name not in IDENTITY}


class Site:
    """An inventory with its hosts, and the values of its stack file where there is one."""

    def __init__(
        self,
        folder: Path,
        *,
        stack: Path | None = None,
        extra_vars: Sequence[Path] = (),
        versions: Path | None = None,
        vault_password_files: Sequence[str] = (),
        ask_vault_password: bool = False,
    ) -> None:
        """Read the inventory. Raises UsageError, and AnsibleError for what Ansible cannot read."""
        if not folder.is_dir():
            raise UsageError(
                f"no folder {folder}", "the folder of an inventory", "Copy inventory/example and fill it in."
            )
        if AnsibleCollectionConfig.collection_finder is None:
            init_plugin_loader()
        self.loader = _Loader()
        if vault_password_files or ask_vault_password:
            self.loader.set_vault_secrets(
                CLI.setup_vault_secrets(
                    self.loader,
                    DEFAULT_VAULT_IDENTITY_LIST,
                    vault_password_files=list(vault_password_files),
                    ask_vault_pass=ask_vault_password,
                    auto_prompt=False,
                )
            )
        self.inventory = InventoryManager(self.loader, sources=[str(folder)])
        self._manager = VariableManager(self.loader, self.inventory)
        self._extra: dict[str, Any] = {}
        for file in (*extra_vars, *([versions] if versions else [])):
            self._extra |= self.loader.load_from_file(str(file), trusted_as_template=True)
        self.hosts = [self._host(host) for host in self.inventory.get_hosts()]
        if not self.hosts:
            raise UsageError(f"no host in {folder}", "the hosts of the site", "Write them into hosts.yml.")
        self.controller_system = self._controller_system()
        self.stack_file = stack or STACKS / f"Pulumi.{folder.resolve().name}.yaml"
        if stack and not stack.is_file():
            raise UsageError(f"no file {stack}", "the stack's settings, Pulumi.<site>.yaml", "Correct --stack.")
        self.stack = _stack(self.stack_file)

    def value(self, name: str, host: Host | None = None, *, default: Any = None) -> Any:
        """A variable of a host, or of the first host that has it.

        Raises UsageError where none has it and there is no default.
        """
        for candidate in [host] if host else self.hosts:
            if name in candidate.variables:
                return self._template(candidate.variables[name], candidate, name)
        if default is not None:
            return default
        raise UsageError(f"no {name} in the inventory", "its value for this site", "Set it, as inventory/example does.")

    @property
    def registry(self) -> SiteRegistry:
        """The registry below whose name the site's images lie. Raises UsageError."""
        return site_registry.parse(self.value("site_registry"), "site_registry")

    @property
    def authority(self) -> Path | None:
        """Certificate of the authority that signed the mirror's certificates; None where systems trust it already."""
        file = self.value("base_ca_file", default="")
        return Path(file) if file else None

    def image_references(self) -> set[str]:
        """Every image that a variable of a host names."""
        found: set[str] = set()
        for host in self.distinct_hosts():
            for name in host.variables:
                if name.endswith(IMAGE_VARIABLES):
                    value = self.value(name, host)
                    found.update([value] if isinstance(value, str) else value)
        return found - {""}

    def distinct_hosts(self) -> list[Host]:
        """One host of each kind: of a large site most hosts differ in nothing but name and address.

        To fill in templates takes longest, so that what hosts need is asked of one of each kind.
        """
        kinds: list[tuple[dict[str, Any], Host]] = []
        for host in self.hosts:
            shared = host.shared
            if not any(shared == known for known, _ in kinds):
                kinds.append((shared, host))
        return [host for _, host in kinds]

    def _controller_system(self) -> str:
        """The system of the controller; empty where that is not served by this mirror."""
        system: str = self.value("site_controller_system", default="")
        if system and system not in PYTHONS:
            raise UsageError(
                f"site_controller_system: {system}",
                f"the system that the controller runs, one of {', '.join(PYTHONS)}",
                "Set it in group_vars/all/site.yml, or leave it out where the controller is not served by this mirror.",
            )
        return system

    def _template(self, value: Any, host: Host, name: str) -> Any:
        try:
            return Templar(self.loader, variables=host.variables).template(value)
        except AnsibleError as problem:
            raise UsageError(
                f"{name} of {host.name} has no value ({problem})",
                "a value that the inventory alone gives",
                "Set what it depends on, or give the vault's password.",
            ) from problem

    def _host(self, host: Any) -> Host:
        variables = {**self._manager.get_vars(host=host), **self._extra}
        system = self._template(variables.get("site_system", ""), Host(host.name, "", variables), "site_system")
        if system not in RELEASES:
            raise UsageError(
                f"site_system of {host.name}: {system or 'nothing'}",
                f"the system that the host runs, one of {', '.join(RELEASES)}",
                "Set it in the group's site.yml, as inventory/example does.",
            )
        return Host(host.name, system, variables)


def _stack(file: Path) -> dict[str, Any]:
    """Values of the stack file by their keys without the project's name; none where there is no file."""
    if not file.is_file():
        return {}
    values = (yaml.safe_load(file.read_text()) or {}).get("config", {})
    return {key.removeprefix(STACK_KEY): value for key, value in values.items()}
