"""Tests of a site's hosts use sudo with Ansible's password, and nobody sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "inventory/example"
# ssh runs the last argument here, sudo wants its password on the standard input, and both keep their arguments.
SSH = """#!/bin/bash
printf '%s\\n' "$@" >> "$CALLED"
exec /bin/sh -c "${@: -1}"
"""
SUDO = """#!/bin/bash
printf '%s\\n' "$@" >> "$CALLED"
case " $* " in *" --stdin "*) read -r password ;; esac
[ "$password" = example-only ] || { echo "sudo: a password is required" >&2; exit 1; }
exec "${@: -3}"
"""
ASK = """
from tests.testinfra.connection import connect
from tests.testinfra.inventory import Expected
answer = connect("dgx1", Expected("dgx1")).run("echo %s; cat", "two words")
print(answer.rc, answer.stdout.strip(), answer.stderr.strip(), sep="|")
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in (("ssh", SSH), ("sudo", SUDO)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_a_command_is_run_with_sudos_password_from_the_vault_and_nothing_shows_it(programs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLED": str(programs / "called"),
            "SITE_INVENTORY": str(EXAMPLE),
            "ANSIBLE_VAULT_PASSWORD_FILE": str(EXAMPLE / ".throw-away-vault-password"),
            "ANSIBLE_HOME": str(programs),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "0|two words|", done.stderr
    assert "example-only" not in (programs / "called").read_text()
    assert "ops" in (programs / "called").read_text()
