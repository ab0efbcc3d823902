"""Renders a role's templates and variables by Ansible's own code, with the role's defaults and the values of a case."""

from __future__ import annotations

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from .by_path import ROLES


def render(template: str, **variables: Any) -> str:
    """Text of a template such as hardening/templates/firewall.nft.j2."""
    role = template.split("/")[0]
    text: str = _templar(role, variables).template(trust_as_template((ROLES / template).read_text()))
    return text


def evaluate(role: str, name: str, **variables: Any) -> Any:
    """Value of a variable of the role."""
    return _templar(role, variables).template(trust_as_template(f"{{{{ {name} }}}}"))


def _templar(role: str, variables: dict[str, Any]) -> Templar:
    loader = DataLoader()
    known: dict[str, Any] = {"ansible_managed": "Ansible managed", "inventory_hostname": "host1"}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLES / role / part / "main.yml"), trusted_as_template=True)
    return Templar(loader=loader, variables=known | variables)
