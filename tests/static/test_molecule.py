"""Scenarios are made of what the rack has."""

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
