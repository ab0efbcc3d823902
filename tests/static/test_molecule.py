"""Scenarios use the groups and tests that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

MOLECULE = Path(__file__).parents[2] / "molecule"
SCENARIOS = sorted(path.parent.name for path in MOLECULE.glob("*/molecule.yml"))


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MOLECULE / request.param / "molecule.yml").read_text())
    return found


def test_every_host_is_of_the_cluster(scenario: dict[str, Any]) -> None:
    """Variables of that group say how testinfra reaches it, and what roles need to know of the site."""
    assert all("cluster" in platform["groups"] for platform in scenario["platforms"])


def test_what_proves_the_scenario_is_there(scenario: dict[str, Any]) -> None:
    tests = str(scenario["provisioner"].get("env", {}).get("TESTS", "")).split()
    assert all((MOLECULE.parent / path).exists() for path in tests if path.startswith("tests/"))


def test_the_upgrade_starts_from_a_version_that_kubeadm_upgrades_from() -> None:
    """The scenario writes one version over the other in the programs, so both have the same length."""
    version = yaml.safe_load((MOLECULE.parent / "versions.yml").read_text())["versions"]["kubernetes"]["version"]
    hosts = [yaml.safe_load(file.read_text()) for file in sorted(MOLECULE.glob("kubernetes-upgrade/host_vars/*.yml"))]
    [before] = {host["site_version_before"] for host in hosts}
    assert len(before) == len(version)
    (major, minor, patch), (site_major, site_minor, site_patch) = (map(int, v.split(".")) for v in (before, version))
    assert major == site_major
    assert (minor, patch) < (site_minor, site_patch)
    assert site_minor - minor <= 1
