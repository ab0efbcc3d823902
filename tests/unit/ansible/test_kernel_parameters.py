"""Kernel parameters come into force and stay there, and nothing is loaded where all is as wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[3]
WANTED = {"net.ipv4.ip_forward": "1", "vm.overcommit_memory": 1}
WRITTEN = "# Ansible managed\nnet.ipv4.ip_forward = 1\nvm.overcommit_memory = 1\n"
# The kernel is a file with a value per line, into which --load copies the values of another file.
SYSCTL = """#!/bin/sh
case "$1" in
--values) cat "$KERNEL" ;;
--load=*) [ -z "$READ_ONLY" ] || { echo "permission denied" >&2; exit 1; }
  sed --quiet 's/.* = //p' "${1#--load=}" > "$KERNEL" ;;
esac
"""


class Host:
    def __init__(self, folder: Path) -> None:
        self.file, self.kernel = folder / "60-kubernetes.conf", folder / "kernel"
        self.kernel.write_text("0\n0\n")
        (folder / "sysctl").write_text(SYSCTL)
        (folder / "sysctl").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "KERNEL": str(self.kernel)}
        self.environment["PYTHONPATH"] = str(REPO / "ansible/collections")

    def set(self, *, check: bool = False) -> dict[str, Any]:
        arguments = {"path": str(self.file), "parameters": WANTED, "_ansible_check_mode": check}
        done = subprocess.run(
            [sys.executable, "-m", "ansible_collections.qwen_onprem.hosts.plugins.modules.kernel_parameters"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_parameters_come_into_force_and_are_there_at_the_next_boot(host: Host) -> None:
    assert host.set()["changed"]
    assert host.kernel.read_text() == "1\n1\n"
    assert host.file.read_text() == WRITTEN
    assert not host.set()["changed"]


def test_a_parameter_that_was_changed_by_hand_is_set_again(host: Host) -> None:
    host.set()
    host.kernel.write_text("1\n0\n")
    assert host.set()["changed"]
    assert host.kernel.read_text() == "1\n1\n"


def test_check_mode_says_what_would_change_and_changes_nothing(host: Host) -> None:
    assert host.set(check=True)["changed"]
    assert not host.file.exists()
    assert host.kernel.read_text() == "0\n0\n"


def test_a_kernel_that_does_not_take_a_value_is_a_failure(host: Host) -> None:
    host.environment["READ_ONLY"] = "yes"
    result = host.set()
    assert result["failed"]
    assert "permission denied" in result["msg"]
