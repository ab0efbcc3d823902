"""The commands of the controller, started by a Python without its environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("command", ["mirror/qwen-mirror", "controller/qwen-controller"])
def test_a_python_without_the_environment_is_named(command: str) -> None:
    # -S leaves out installed packages.
    done = subprocess.run([sys.executable, "-S", ROOT / command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["found", "needed", "remedy"]
