"""A lost controller is rebuilt from its backup; pulumi itself reads the state that was put back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller import parts
from controller.command import main
from lab.paths import BIN, CONTROLLER_ENV

ROOT = Path(__file__).parents[3]
PASSPHRASE = "a passphrase"


@dataclass
class Controller:
    """A controller's files: a clone with one site, and the site's files with pulumi's state."""

    clone: Path
    files: Path

    @property
    def site(self) -> Path:
        return self.clone / "inventory/own"

    @property
    def state(self) -> Path:
        return self.files / "pulumi"


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    made = Controller(tmp_path / "clone", tmp_path / "etc/qwen-onprem")
    shutil.copytree(ROOT / "inventory/example", made.site, symlinks=True)
    shutil.copy(ROOT / "versions.yml", made.clone)
    (made.clone / "pulumi").mkdir()
    shutil.copy(ROOT / "pulumi/Pulumi.example.yaml", made.clone / "pulumi/Pulumi.own.yaml")
    site = made.site / "group_vars/all/site.yml"
    site.write_text(site.read_text().replace("site_files: /etc/qwen-onprem", f"site_files: {made.files}"))
    (made.files / "ssh").mkdir(parents=True)
    (made.files / "ssh/id_ed25519").write_text("a private key")
    (made.files / "ssh/id_ed25519").chmod(0o600)
    (made.state / ".pulumi").mkdir(parents=True)
    monkeypatch.setattr(parts, "CLONE", made.clone)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{made.state}")
    return made


def backup(controller: Controller, file: Path) -> int:
    stack = controller.clone / "pulumi/Pulumi.own.yaml"
    return main(["backup", str(controller.site), "--stack", str(stack), "--to", str(file)])


def tree(folder: Path) -> dict[str, object]:
    """Content of each file, or target of each link, by its path."""
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_a_lost_controller_is_put_back_as_it_was(controller: Controller, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    assert backup(controller, file) == 0
    site, files = tree(controller.site), tree(controller.files)
    for lost in (controller.site, controller.files, controller.clone / "pulumi"):
        shutil.rmtree(lost)
    assert main(["restore", str(file)]) == 0
    assert (tree(controller.site), tree(controller.files)) == (site, files)
    assert (controller.clone / "pulumi/Pulumi.own.yaml").is_file()
    assert (controller.files / "ssh/id_ed25519").stat().st_mode & 0o777 == 0o600


def test_another_controller_may_have_the_clone_elsewhere(
    controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    monkeypatch.setattr(parts, "CLONE", tmp_path / "srv/other-clone")
    assert main(["restore", str(tmp_path / "backup.tar.gz")]) == 0
    assert tree(tmp_path / "srv/other-clone/inventory/own") == tree(controller.site)


def test_a_program_of_any_system_takes_the_mirrors_authority_out_of_a_backup(
    controller: Controller, tmp_path: Path
) -> None:
    """The command of docs/operate/keep.md: a new controller needs it before it has the environment of `restore`."""
    (controller.files / "site-ca.crt").write_text("an authority")
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    take = ["tar", "-xzf", tmp_path / "backup.tar.gz", "--strip-components=2", "site-files/qwen-onprem/site-ca.crt"]
    subprocess.run(take, cwd=tmp_path, check=True)
    assert (tmp_path / "site-ca.crt").read_text() == "an authority"


def test_nobody_but_its_owner_reads_a_backup(controller: Controller, tmp_path: Path) -> None:
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    assert (tmp_path / "backup.tar.gz").stat().st_mode & 0o777 == 0o600


def test_a_file_that_differs_is_kept_and_nothing_is_changed(
    controller: Controller, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    (controller.files / "ssh/id_ed25519").write_text("a newer key")
    shutil.rmtree(controller.site)
    assert main(["restore", str(tmp_path / "backup.tar.gz")]) == 2
    assert "ssh/id_ed25519" in capsys.readouterr().err
    assert not controller.site.exists()
    assert (controller.files / "ssh/id_ed25519").read_text() == "a newer key"


def test_a_damaged_backup_is_refused_and_nothing_is_changed(
    controller: Controller, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup.tar.gz"
    assert backup(controller, file) == 0
    shutil.rmtree(controller.site)
    file.write_bytes(file.read_bytes()[:-200])
    assert main(["restore", str(file)]) == 2
    assert "needed: a whole backup" in capsys.readouterr().err
    assert not controller.site.exists()


def test_a_changed_file_in_a_backup_is_refused(controller: Controller, tmp_path: Path) -> None:
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    unpacked = tmp_path / "unpacked"
    with tarfile.open(tmp_path / "backup.tar.gz") as tar:
        tar.extractall(unpacked, filter="data")
    (unpacked / "site-files/qwen-onprem/ssh/id_ed25519").write_text("another key")
    with tarfile.open(tmp_path / "changed.tar.gz", "w:gz") as tar:
        for path in sorted(unpacked.iterdir()):
            tar.add(path, path.name)
    shutil.rmtree(controller.files)
    assert main(["restore", str(tmp_path / "changed.tar.gz")]) == 2
    assert not controller.files.exists()


def test_a_stack_that_is_being_changed_is_not_kept(
    controller: Controller, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (controller.state / ".pulumi/locks/organization").mkdir(parents=True)
    (controller.state / ".pulumi/locks/organization/one.json").write_text("{}")
    assert backup(controller, tmp_path / "backup.tar.gz") == 2
    assert "no change of the stack that goes on" in capsys.readouterr().err
    assert not (tmp_path / "backup.tar.gz").exists()


@pytest.mark.parametrize("backend", ["", "s3://bucket", "file:///nowhere"])
def test_state_that_is_not_found_is_not_left_out_in_silence(
    controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", backend)
    assert backup(controller, tmp_path / "backup.tar.gz") == 2


def test_an_older_backup_is_not_overwritten(controller: Controller, tmp_path: Path) -> None:
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    assert backup(controller, tmp_path / "backup.tar.gz") == 2


def test_pulumi_reads_the_state_and_the_secrets_that_were_put_back(controller: Controller, tmp_path: Path) -> None:
    if not (BIN / "pulumi").exists():
        pytest.skip("needs the engine that `make up` builds")
    project = controller.clone / "pulumi"
    (project / "Pulumi.yaml").write_text("name: qwen-onprem\nruntime: python\n")
    environment = {
        "PATH": f"{CONTROLLER_ENV}/bin:{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{controller.state}",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }

    def pulumi(*arguments: str) -> str:
        command = [BIN / "pulumi", *arguments, "--non-interactive"]
        return subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True).stdout

    (project / "Pulumi.own.yaml").unlink()
    pulumi("stack", "init", "own")
    pulumi("config", "set", "--secret", "--path", "apiKeys.team", "a key", "--stack", "own")
    exported = json.loads(pulumi("stack", "export", "--stack", "own"))
    assert backup(controller, tmp_path / "backup.tar.gz") == 0
    shutil.rmtree(controller.files)
    (project / "Pulumi.own.yaml").unlink()
    assert main(["restore", str(tmp_path / "backup.tar.gz")]) == 0
    assert json.loads(pulumi("stack", "export", "--stack", "own")) == exported
    assert "a key" in pulumi("config", "get", "--path", "apiKeys.team", "--stack", "own")
