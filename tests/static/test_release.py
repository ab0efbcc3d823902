"""One version for the whole project, a changelog that knows it, and a licence that travels with the package."""

from __future__ import annotations

import re
from pathlib import Path

import tomllib
import yaml

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
NUMBER = r"\d+\.\d+\.\d+"
RELEASE = re.compile(rf"^## ({NUMBER}) - (\d{{4}}-\d\d-\d\d)$", re.MULTILINE)
# Keep a Changelog's kinds of change, in its order.
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def version() -> str:
    source = (ROOT / "python/src/qwen_runtime/__init__.py").read_text()
    [number] = re.findall(rf'^__version__ = "({NUMBER})"$', source, re.MULTILINE)
    return str(number)


def test_the_newest_release_of_the_changelog_is_the_version() -> None:
    newest, _ = RELEASE.findall(CHANGELOG)[0]
    assert newest == version()


def test_the_changelog_goes_from_what_is_unreleased_to_the_oldest_release() -> None:
    sections = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    releases = RELEASE.findall(CHANGELOG)
    assert sections == ["Unreleased", *(f"{number} - {day}" for number, day in releases)]
    assert releases == sorted(releases, key=lambda release: [int(part) for part in release[0].split(".")], reverse=True)


def test_changes_are_of_the_kinds_that_the_form_knows_in_its_order() -> None:
    for section in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds], section.splitlines()[0]


def test_no_other_file_names_a_version_of_the_project() -> None:
    """The package reads it; a collection of Ansible, which cannot, has to name the same one."""
    package = tomllib.loads((ROOT / "python/pyproject.toml").read_text())
    assert "version" in package["project"]["dynamic"]
    assert package["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "qwen_runtime.__version__"}
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text()).get("project", {})
    assert "version" not in yaml.safe_load((ROOT / "pulumi/Pulumi.yaml").read_text())
    collections = [yaml.safe_load(path.read_text()) for path in (ROOT / "ansible").rglob("galaxy.yml")]
    assert not [each["name"] for each in collections if each["version"] != version()]


def test_the_package_carries_the_projects_licence() -> None:
    project = tomllib.loads((ROOT / "python/pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert (ROOT / "python/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
