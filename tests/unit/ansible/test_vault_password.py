"""A vault password that is wrong, or was changed since, ends a run before any host is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ANSIBLE = Path(__file__).parents[3] / "ansible"


def run(tmp_path: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path)}
    return subprocess.run([*argv], env=environment, capture_output=True, text=True, check=False)


def site(tmp_path: Path) -> Path:
    """An inventory of one host with one vaulted file, encrypted with the password `this year's`."""
    folder = tmp_path / "site"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.yml").write_text(
        f"all: {{hosts: {{host1: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}}}}}\n"
    )
    secrets = folder / "group_vars/all/vault.yml"
    secrets.write_text("site_secret: swordfish\n")
    (tmp_path / "now").write_text("this year's\n")
    (tmp_path / "before").write_text("last year's\n")
    encrypted = run(tmp_path, "ansible-vault", "encrypt", "--vault-password-file", tmp_path / "now", secrets)
    assert encrypted.returncode == 0, encrypted.stderr
    assert "swordfish" not in secrets.read_text()
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.file: {path: '{{ mark }}', state: touch}}]\n"
    )
    return folder


def play(tmp_path: Path, folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    mark = f"mark={tmp_path / 'touched'}"
    return run(tmp_path, "ansible-playbook", "-i", folder, "-e", mark, *options, tmp_path / "play.yml")


def test_the_right_password_lets_the_run_through(tmp_path: Path) -> None:
    done = play(tmp_path, site(tmp_path), "--vault-password-file", tmp_path / "now")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "touched").exists()


def test_last_years_password_ends_the_run_before_a_host_is_touched(tmp_path: Path) -> None:
    done = play(tmp_path, site(tmp_path), "--vault-password-file", tmp_path / "before")
    assert done.returncode != 0
    assert "Decryption failed (no vault secrets were found that could decrypt)" in done.stdout + done.stderr
    assert not (tmp_path / "touched").exists()


def test_no_password_ends_the_run_before_a_host_is_touched(tmp_path: Path) -> None:
    done = play(tmp_path, site(tmp_path))
    assert done.returncode != 0
    assert "no vault secrets" in (done.stdout + done.stderr).lower()
    assert not (tmp_path / "touched").exists()
