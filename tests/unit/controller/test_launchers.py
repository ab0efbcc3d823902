"""Commands of the controller, started by a Python without its environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mirror.carry import bundle

ROOT = Path(__file__).resolve().parents[3]


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    # -S leaves out installed packages.
    return subprocess.run([sys.executable, "-S", *argv], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["mirror/qwen-mirror list inventory/example", "controller/qwen-controller --help"])
def test_a_python_without_the_environment_is_named(command: str) -> None:
    done = run(*command.split())
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["found", "needed", "remedy"]


def test_a_carried_folder_is_verified_without_the_environment(tmp_path: Path) -> None:
    """A closed site has no environment before it has the folder's wheels."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("carried")
    bundle.write(tmp_path / "folder", "registry.example.internal")
    key, public = tmp_path / "site.key", tmp_path / "site.pub"
    for options in (("genpkey", "-algorithm", "ed25519", "-out", key), ("pkey", "-in", key, "-pubout", "-out", public)):
        subprocess.run(["openssl", *options], check=True, capture_output=True)
    assert run("mirror/qwen-mirror", "sign", tmp_path / "folder", "--key", key).returncode == 0
    verified = run("mirror/qwen-mirror", "verify", tmp_path / "folder", "--key", public)
    assert "faults: 0; files: 1" in verified.stdout, verified.stderr
