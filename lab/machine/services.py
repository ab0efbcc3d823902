"""Installation of packages without their services: the lab needs their programs only.

Standard library only: the rest of the lab runs inside the environment that is installed afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lab.shell import attempt

# Debian's packages ask only this program before they start a service.
POLICY = Path("/usr/sbin/policy-rc.d")
MARK = "# qwen-onprem installs packages for their programs and removes this file afterwards."
REFUSAL = f"#!/bin/sh\n{MARK}\nexit 101\n"
# They would start at the next boot.
ENABLED = ("prometheus", "prometheus-alertmanager")


@contextlib.contextmanager
def held_back(policy: Path = POLICY) -> Iterator[None]:
    """Keep packages from starting services while the block runs; afterwards the machine's own policy holds again."""
    installed = [service for service in ENABLED if _is_installed(service)]
    give_back(policy)
    refusal = policy.with_name(f"{policy.name}.qwen-onprem")
    refusal.write_text(REFUSAL)
    refusal.chmod(0o755)
    if policy.is_symlink() or policy.exists():
        policy.rename(_aside(policy))
    refusal.rename(policy)
    try:
        yield
    finally:
        give_back(policy)
        for service in ENABLED:
            if service not in installed and _is_installed(service):
                attempt("systemctl", "disable", service)  # no systemd, no service to disable


def give_back(policy: Path = POLICY) -> None:
    """Restore the machine's own policy, also after an installation that was killed."""
    if policy.is_file() and MARK in policy.read_text(errors="replace"):
        policy.unlink()
    aside = _aside(policy)
    if aside.is_symlink() or aside.exists():
        aside.rename(policy)


def _aside(policy: Path) -> Path:
    return policy.with_name(f"{policy.name}.before-qwen-onprem")


def _is_installed(package: str) -> bool:
    return attempt("dpkg-query", "-W", "-f", "${db:Status-Status}", package).stdout == "installed"
