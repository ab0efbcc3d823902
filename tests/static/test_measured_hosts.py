"""The stacks watch every host of their inventory, under the name of its node."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("site", ["example", "local"])
def test_the_stack_names_the_hosts_of_the_inventory(site: str) -> None:
    groups = yaml.safe_load((ROOT / f"inventory/{site}/hosts.yml").read_text())["cluster"]["children"]
    hosts = {name: variables["ansible_host"] for group in groups.values() for name, variables in group["hosts"].items()}
    stack = yaml.safe_load((ROOT / f"pulumi/Pulumi.{site}.yaml").read_text())["config"]
    assert stack["qwen-onprem:monitoring"]["hosts"] == hosts
