"""The example is a site that Ansible can read, vault included, and every playbook is valid on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "inventory/example"
PASSWORD = EXAMPLE / ".throw-away-vault-password"
VAULT = EXAMPLE / "group_vars/all/vault.yml"
PLAYBOOKS = sorted((ROOT / "ansible").glob("*.yml"))


def ansible(program: str, *arguments: str | Path, password: Path = PASSWORD) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs on the example."""
    return subprocess.run(
        [Path(sys.executable).with_name(program), "-i", EXAMPLE, "--vault-password-file", password, *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def hosts() -> dict[str, dict[str, Any]]:
    listed = ansible("ansible-inventory", "--list")
    assert listed.returncode == 0, listed.stderr
    variables: dict[str, dict[str, Any]] = json.loads(listed.stdout)["_meta"]["hostvars"]
    return variables


def test_it_is_two_dgx_three_control_planes_and_a_mirror(hosts: dict[str, dict[str, Any]]) -> None:
    assert {name for name, variables in hosts.items() if variables.get("preflight_gpus") == 8} == {"dgx1", "dgx2"}
    assert {name.rstrip("0123456789") for name in hosts} == {"control", "dgx", "mirror"}
    assert len(hosts) == 6


def test_secrets_are_in_the_vault_under_names_that_say_so(hosts: dict[str, dict[str, Any]]) -> None:
    assert VAULT.read_text().startswith("$ANSIBLE_VAULT;")
    secrets = {name for name in hosts["dgx1"] if name.startswith("vault_")}
    assert secrets
    text = "".join(path.read_text() for path in EXAMPLE.rglob("*.yml") if path != VAULT)
    assert all(f"{{{{ {name} }}}}" in text for name in secrets), "a secret that nothing uses"


def test_another_vault_password_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("expired\n")
    refused = ansible("ansible-inventory", "--list", password=wrong)
    assert refused.returncode != 0
    assert "Decryption failed" in refused.stderr


@pytest.mark.parametrize("book", PLAYBOOKS, ids=lambda path: path.name)
def test_playbook_holds_on_the_example(book: Path) -> None:
    checked = ansible("ansible-playbook", "--syntax-check", book)
    assert checked.returncode == 0, checked.stderr
