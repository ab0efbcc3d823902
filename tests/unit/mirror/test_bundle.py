"""A filled folder is believed by its signature alone; whatever was changed on the way is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.carry import bundle
from mirror.command import main

ROOT = Path(__file__).parents[3]


def make_key(folder: Path, name: str) -> Path:
    """A private key, and its public half beside it under .pub."""
    private = folder / f"{name}.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    public = ["openssl", "pkey", "-in", private, "-pubout", "-out", folder / f"{name}.pub"]
    subprocess.run(list(map(str, public)), check=True)
    return private


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder, "site")
    make_key(folder, "other")
    return folder


@pytest.fixture
def signed(tmp_path: Path, keys: Path) -> Path:
    """A folder of three files that is signed."""
    folder = tmp_path / "bundle"
    for name in ("apt/jammy/kubelet.deb", "wheels/torch.whl", "tools/pulumi.tar.gz"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode() * 100)
    bundle.write(folder, "registry.example.internal")
    assert main(["sign", str(folder), "--key", str(keys / "site.key")]) == 0
    return folder


def flip(folder: Path) -> None:
    file = folder / "wheels/torch.whl"
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(content)


def swap(folder: Path) -> None:
    """Put another file in place, and its digest into the list."""
    flip(folder)
    document = json.loads((folder / bundle.NAME).read_text())
    [entry] = [entry for entry in document["files"] if entry["path"] == "wheels/torch.whl"]
    entry["sha256"] = bundle.sha256(folder / "wheels/torch.whl")
    (folder / bundle.NAME).write_text(json.dumps(document))


def link(folder: Path) -> None:
    (folder / "wheels/torch.whl").unlink()
    (folder / "wheels/torch.whl").symlink_to("/etc/hostname")


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a flipped byte": (flip, "wheels/torch.whl", "sha256:"),
    "a swapped digest": (swap, "bundle.json", "a signature that is not of this list and this key"),
    "no signature": (lambda folder: (folder / "bundle.json.sig").unlink(), "bundle.json", "no signature"),
    "a missing file": (lambda folder: (folder / "tools/pulumi.tar.gz").unlink(), "tools/pulumi.tar.gz", "no file"),
    "half a file": (
        lambda folder: (folder / "tools/pulumi.tar.gz").write_bytes(b"t"), "tools/pulumi.tar.gz", "1 bytes",
    ),
    "a file too many": (lambda folder: (folder / "wheels/evil.whl").write_text(""), "wheels/evil.whl", "not listed"),
    "a link out": (link, "wheels/torch.whl", "no file"),
}  # fmt: skip


def test_what_was_signed_is_believed(signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(signed), "--key", str(keys / "site.pub")]) == 0
    assert "faults: 0; files: 3" in capsys.readouterr().out


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_changed_is_refused_by_name(
    signed: Path, keys: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apply, subject, found = CHANGES[change]
    apply(signed)
    assert main(["verify", str(signed), "--key", str(keys / "site.pub")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert subject in out
    assert found in out[out.index(subject) + 1]
    assert "faults: 1;" in out[-1]


def test_another_key_is_refused(signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(signed), "--key", str(keys / "other.pub")]) == 1
    assert "is not of this list and this key" in capsys.readouterr().out


def test_a_folder_that_was_not_filled_to_its_end_is_refused(
    signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.forget(signed)
    assert main(["verify", str(signed), "--key", str(keys / "site.pub")]) == 2
    assert main(["sign", str(signed), "--key", str(keys / "site.key")]) == 2
    assert "a folder that was filled to its end" in capsys.readouterr().err
    assert not (signed / bundle.SIGNATURE).exists()


def test_a_list_that_is_cut_off_is_refused_and_not_signed(
    signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed / bundle.NAME).write_text((signed / bundle.NAME).read_text()[:-20])
    assert main(["sign", str(signed), "--key", str(keys / "site.key")]) == 2
    assert "a list of format 1" in capsys.readouterr().err


def test_a_key_of_another_kind_signs_nothing(signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (signed / bundle.SIGNATURE).unlink()
    assert main(["sign", str(signed), "--key", str(keys / "site.pub")]) == 1
    assert "an Ed25519 key" in capsys.readouterr().err
    assert not (signed / bundle.SIGNATURE).exists()


def test_verification_asks_no_network(signed: Path, keys: Path) -> None:
    """Verification in a network namespace without any address, route or name server."""
    apart = ["unshare", "--net", "--"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a network namespace")
    command = [sys.executable, ROOT / "mirror/qwen-mirror", "verify", signed, "--key", keys / "site.pub"]
    ended = subprocess.run([*apart, *map(str, command)], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_openssl_alone_verifies_the_signature(signed: Path, keys: Path) -> None:
    """A machine without this repository can do it, as docs/operate/mirror.md says."""
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys / "site.pub", "-rawin"]
    command += ["-in", signed / bundle.NAME, "-sigfile", signed / bundle.SIGNATURE]
    assert subprocess.run(list(map(str, command)), check=False, capture_output=True).returncode == 0
