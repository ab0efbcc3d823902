"""Packages do not start services on the machine, and the machine's own policy is restored."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.machine import services

OWN = "#!/bin/sh\nexit 104\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def answer(policy: Path) -> int:
    """The answer that Debian's packages get when they ask whether a service may start."""
    return subprocess.run([policy, "prometheus.service", "start"], check=False).returncode


def write_own(policy: Path) -> None:
    policy.write_text(OWN)
    policy.chmod(0o755)


def test_no_service_may_start_during_an_installation(policy: Path) -> None:
    with services.held_back(policy):
        assert answer(policy) == 101
    assert list(policy.parent.iterdir()) == []


def test_the_machines_own_policy_is_put_back(policy: Path) -> None:
    write_own(policy)
    with services.held_back(policy):
        assert answer(policy) == 101
    assert answer(policy) == 104
    assert list(policy.parent.iterdir()) == [policy]


def test_it_is_put_back_after_an_installation_that_failed(policy: Path) -> None:
    write_own(policy)
    with pytest.raises(RuntimeError), services.held_back(policy):
        raise RuntimeError("apt-get ended with 100")
    assert answer(policy) == 104


def test_it_is_put_back_after_an_installation_that_was_killed(policy: Path) -> None:
    write_own(policy)
    killed = services.held_back(policy)
    killed.__enter__()
    services.give_back(policy)
    assert answer(policy) == 104
    assert list(policy.parent.iterdir()) == [policy]


def test_an_installation_after_one_that_was_killed_still_knows_the_machines_own(policy: Path) -> None:
    write_own(policy)
    killed = services.held_back(policy)
    killed.__enter__()
    with services.held_back(policy):
        assert answer(policy) == 101
    assert answer(policy) == 104


def test_a_policy_that_is_a_link_stays_one(policy: Path) -> None:
    target = policy.with_name("policy-of-the-machine")
    write_own(target)
    policy.symlink_to(target)
    with services.held_back(policy):
        assert answer(policy) == 101
    assert policy.is_symlink()
    assert answer(policy) == 104
