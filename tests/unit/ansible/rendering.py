"""A role's template, rendered by Ansible's own code with the role's defaults and what a case sets."""

from __future__ import annotations

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

from .by_path import ROLES


def render(template: str, **variables: Any) -> str:
    """Text of a template such as hardening/templates/firewall.nft.j2."""
    if not AnsibleCollectionConfig.collection_finder:
        init_plugin_loader()
    loader = DataLoader()
    role = ROLES / template.split("/")[0]
    known: dict[str, Any] = {"ansible_managed": "Ansible managed"}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(role / part / "main.yml"), trusted_as_template=True)
    text = trust_as_template((ROLES / template).read_text())
    rendered: str = Templar(loader=loader, variables=known | variables).template(text)
    return rendered
