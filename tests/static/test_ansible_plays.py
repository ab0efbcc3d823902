"""A play that goes on past a failed host leaves a cluster half-made: every play says that it stops."""

import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLAYBOOKS = sorted((ROOT / "ansible").glob("*.yml"))
IMPORT = "ansible.builtin.import_playbook"
PLAYS = [(book, play) for book in PLAYBOOKS for play in yaml.safe_load(book.read_text()) if IMPORT not in play]
PLAYS_BY_BOOK = [(book.name, play) for book, play in PLAYS]
ROLES = {path.name for path in (ROOT / "ansible/roles").iterdir()}

each_play = pytest.mark.parametrize("play", [play for _, play in PLAYS], ids=lambda play: play["name"])


@each_play
@pytest.mark.parametrize("attribute", ["name", "hosts", "gather_facts"])
def test_play_says(play: dict[str, Any], attribute: str) -> None:
    assert attribute in play


@each_play
def test_play_stops_at_the_first_failure(play: dict[str, Any]) -> None:
    assert play["any_errors_fatal"] is True


@each_play
def test_each_role_has_its_tag(play: dict[str, Any]) -> None:
    for entry in play.get("roles", []):
        assert entry["role"] in entry["tags"]


def test_each_phase_of_the_site_has_the_tag_of_its_playbook() -> None:
    first, *phases, last = yaml.safe_load((ROOT / "ansible/site.yml").read_text())
    assert first["tags"] == last["tags"] == ["always"]
    for phase in phases:
        assert phase["tags"] == [phase[IMPORT].removesuffix(".yml")]


def test_every_role_is_used() -> None:
    used = {entry["role"] for _, play in PLAYS for entry in play.get("roles", [])}
    assert used == ROLES


@pytest.mark.parametrize("book", PLAYBOOKS, ids=lambda path: path.name)
def test_playbook_reads_at_a_glance(book: Path) -> None:
    assert len(book.read_text().splitlines()) <= 40


def test_production_runs_ansibles_own_strategy_and_hears_of_what_it_deprecates() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "ansible/ansible.cfg")
    assert not {"strategy", "strategy_plugins", "deprecation_warnings"} & set(settings["defaults"])


def test_drivers_are_changed_on_one_host_at_a_time() -> None:
    plays = yaml.safe_load((ROOT / "ansible/upgrade_driver.yml").read_text())
    assert [play["serial"] for play in plays] == [1] * len(plays)


def first_column(table: str) -> list[str]:
    """Names in the first cells of the rows of a Markdown table: `name` or [name](link)."""
    return re.findall(r"^\| [`\[]([\w.-]+)[`\]]", table, re.MULTILINE)


def index(heading: str) -> list[str]:
    _, _, rest = (ROOT / "ansible/README.md").read_text().partition(f"\n## {heading}\n")
    return first_column(rest.partition("\n## ")[0])


def test_the_index_names_every_playbook() -> None:
    assert sorted(index("Playbooks")) == [book.name for book in PLAYBOOKS]


def test_the_index_names_every_role_in_the_order_in_which_a_site_gets_them() -> None:
    books = [book[IMPORT] for book in yaml.safe_load((ROOT / "ansible/site.yml").read_text())]
    plays = [play for book in (*books, "verify.yml") for name, play in PLAYS_BY_BOOK if name == book]
    in_order = [entry["role"] for play in plays for entry in play.get("roles", [])]
    named = index("Roles")
    assert [role for role in named if role in in_order] == in_order
    assert set(named) == ROLES


def test_the_index_of_scenarios_names_each_of_them() -> None:
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    assert sorted(first_column((ROOT / "molecule/README.md").read_text())) == scenarios
