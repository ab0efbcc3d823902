"""A folder that arrives wrong at a site is refused and changes nothing there; once it is right, the import goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.carry import bundle
from mirror.carry.bundle import part_name
from mirror.command import main
from mirror.tools import disk

SITE = "registry.example.internal"
ARCHIVE, WHEEL, SHARD = "tools/engine.tar.gz", "wheels/thing.whl", "models/coder/model-00001-of-00001.safetensors"
FIRST, SECOND = part_name(SHARD, 1), part_name(SHARD, 2)
LIMIT_BYTES = 100_000


def make_key(folder: Path, name: str) -> None:
    private = folder / f"{name}.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", folder / f"{name}.pub"], check=True)


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site's inventory, two keys, what was filled, and the signed medium that it was packed on."""
    folder = tmp_path_factory.mktemp("carried")
    (folder / "inventory/group_vars").mkdir(parents=True)
    (folder / "inventory/hosts.yml").write_text("all: {hosts: {host1: {}}}\n")
    values = f"site_system: Debian-12\nsite_registry: {SITE}\n"
    (folder / "inventory/group_vars/all.yml").write_text(values)
    for name, size in {ARCHIVE: LIMIT_BYTES // 2, WHEEL: LIMIT_BYTES // 3, SHARD: LIMIT_BYTES * 2}.items():
        (folder / "filled" / name).parent.mkdir(parents=True)
        (folder / "filled" / name).write_bytes(os.urandom(size))
    bundle.write(folder / "filled", SITE)
    for name in ("site", "other"):
        make_key(folder, name)
    assert main(["pack", str(folder / "filled"), "--to", str(folder / "medium"), "--largest-gb", "1e-4"]) == 0
    assert main(["sign", str(folder / "medium"), "--key", str(folder / "site.key")]) == 0
    return folder


@pytest.fixture
def medium(carried: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(carried / "medium", tmp_path / "medium"))


def bring(carried: Path, medium: Path, root: Path, key: str = "site") -> int:
    """`qwen-mirror import` of what needs no program beside it."""
    options = ["--key", carried / f"{key}.pub", "--to", root, "--apt-key", "none", "--kind", "tool"]
    return main(["import", *map(str, [carried / "inventory", medium, *options])])


def cut_off(medium: Path) -> None:
    """A copy that ended in the middle: one file is cut off, and those behind it are not there."""
    os.truncate(medium / ARCHIVE, 10)
    (medium / WHEEL).unlink()


def swap(medium: Path) -> None:
    (medium / FIRST).rename(medium / "first")
    (medium / SECOND).rename(medium / FIRST)
    (medium / "first").rename(medium / SECOND)


def flip(medium: Path) -> None:
    content = bytearray((medium / WHEEL).read_bytes())
    content[7] ^= 1
    (medium / WHEEL).write_bytes(content)


CHANGES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "half-copied": (cut_off, {ARCHIVE, WHEEL}),
    "a part missing": (lambda medium: (medium / SECOND).unlink(), {SECOND}),
    "parts swapped": (swap, {FIRST, SECOND}),
    "a byte flipped": (flip, {WHEEL}),
    "no signature": (lambda medium: (medium / bundle.SIGNATURE).unlink(), {bundle.NAME}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_medium_that_arrives_wrong_changes_nothing_and_right_it_is_imported(
    carried: Path, medium: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, subjects = CHANGES[change]
    spoil(medium)
    root = tmp_path / "srv"
    assert bring(carried, medium, root) == 1
    out = capsys.readouterr().out
    for subject in subjects:
        told = out[out.index(f"{subject}\n") :].splitlines()[1:4]
        assert [line.split(":")[0].strip() for line in told] == ["found", "needed", "remedy"]
    assert f"faults: {len(subjects)};" in out
    assert "nothing was changed" in out
    assert not root.exists()
    shutil.copytree(carried / "medium", medium, dirs_exist_ok=True)
    assert bring(carried, medium, root) == 0
    assert {name: (root / name).read_bytes() for name in (ARCHIVE, WHEEL, SHARD)} == {
        name: (carried / "filled" / name).read_bytes() for name in (ARCHIVE, WHEEL, SHARD)
    }


def test_what_another_key_signed_changes_nothing(
    carried: Path, medium: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that was withdrawn is such a one: the site names the public key that it believes."""
    assert bring(carried, medium, tmp_path / "srv", key="other") == 1
    out = capsys.readouterr().out
    assert "found:  a signature that is not of this list and this key" in out
    assert f"needed: a signature by the key of {carried}/other.pub" in out
    assert "remedy: " in out
    assert not (tmp_path / "srv").exists()
    assert main(["sign", str(medium), "--key", str(carried / "other.key")]) == 0
    assert bring(carried, medium, tmp_path / "srv", key="other") == 0, "signed anew, nothing is carried again"


def test_a_folder_of_another_site_is_refused_before_its_files_are_read(
    carried: Path, medium: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(carried / "inventory", tmp_path / "inventory"))
    (other / "group_vars/all.yml").write_text("site_system: Debian-12\nsite_registry: registry.other.internal\n")
    (medium / WHEEL).unlink()
    options = ["--key", carried / "site.pub", "--to", tmp_path / "srv", "--apt-key", "none", "--kind", "tool"]
    assert main(["import", *map(str, [other, medium, *options])]) == 2
    said = capsys.readouterr()
    assert f"found:  a folder for {SITE}\nneeded: one for registry.other.internal\nremedy: " in said.err
    assert not said.out, "hours of reading would tell of the missing file"
    assert not (tmp_path / "srv").exists()


def test_a_disk_of_the_site_that_is_too_small_is_refused_and_with_room_the_import_goes_on(
    carried: Path, medium: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small_disk / "srv"
    taken = small_disk / "other"
    taken.write_bytes(bytes(400 << 10))
    assert bring(carried, medium, root) == 2
    assert "Make room there; nothing was changed." in capsys.readouterr().err
    assert not [path for path in root.rglob("*") if path.is_file()]
    taken.unlink()
    assert bring(carried, medium, root) == 0
    assert (root / SHARD).read_bytes() == (carried / "filled" / SHARD).read_bytes()


def test_a_disk_that_fills_up_during_an_import_leaves_no_half_file_and_a_rerun_goes_on(
    carried: Path, medium: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something else writes to it meanwhile, so that there was room when the import began."""
    root = small_disk / "srv"
    (small_disk / "other").write_bytes(bytes(400 << 10))
    with monkeypatch.context() as patch:
        patch.setattr(disk, "refuse_full", lambda root, needed: root.mkdir(exist_ok=True))
        assert bring(carried, medium, root) == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "remedy: Make room or mend what it names, and run it again: it goes on." in err
    whole = {name: (carried / "filled" / name).stat().st_size for name in (ARCHIVE, WHEEL, SHARD)}
    there = {name: (root / name).stat().st_size for name in whole if (root / name).exists()}
    assert there.items() < whole.items()
    (small_disk / "other").unlink()
    assert bring(carried, medium, root) == 0
    assert {name: (root / name).stat().st_size for name in whole} == whole
    assert not list(root.rglob(".*")), "what was half-made is gone"
