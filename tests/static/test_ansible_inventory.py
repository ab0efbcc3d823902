"""Inventories set what roles take: one file per role, and no variable that no role has."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "ansible/roles").iterdir())
# Vaults are read where Ansible is at hand: test_ansible_example.py.
FILES = [file for file in sorted((ROOT / "inventory").glob("*/group_vars/*/*.yml")) if file.name != "vault.yml"]
ROLE_FILES = [file for file in FILES if file.stem in ROLES]
SITE_PREFIXES = {"site": "site_", "connection": "ansible_", "versions": "versions"}


def names(file: Path) -> list[str]:
    return list(yaml.safe_load(file.read_text()))


def identify(file: Path) -> str:
    return "-".join(file.parts[-4:])


@pytest.mark.parametrize("file", ROLE_FILES, ids=identify)
def test_role_file_sets_only_what_the_role_takes(file: Path) -> None:
    defaults = yaml.safe_load((ROOT / f"ansible/roles/{file.stem}/defaults/main.yml").read_text())
    assert not set(names(file)) - set(defaults)


@pytest.mark.parametrize("file", [file for file in FILES if file not in ROLE_FILES], ids=identify)
def test_other_files_keep_to_their_prefix(file: Path) -> None:
    prefix = SITE_PREFIXES[file.stem]
    assert not [name for name in names(file) if not name.startswith(prefix)]


@pytest.mark.parametrize("site", sorted((ROOT / "inventory").iterdir()), ids=lambda path: path.name)
def test_site_has_the_groups_that_plays_name(site: Path) -> None:
    cluster = yaml.safe_load((site / "hosts.yml").read_text())["cluster"]["children"]
    assert {"control_plane", "gpu"} <= set(cluster)
