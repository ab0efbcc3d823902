"""Large files are carried in parts that every file system takes; each part answers for itself, and a rerun goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from qwen_runtime.errors import Error

from mirror.bring.folder import bring
from mirror.carry import bundle, difference
from mirror.carry.bundle import part_name
from mirror.command import main

SITE = "registry.example.internal"
SMALL, LARGE = "tools/small.tar.gz", "models/coder/model-00001-of-00001.safetensors"
KEPT = (part_name(LARGE, 1), part_name(LARGE, 2), part_name(LARGE, 3))
LIMIT_BYTES = 1000


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with a small file and one of two and a half times what a part takes."""
    folder = tmp_path / "filled"
    for name, size in {SMALL: LIMIT_BYTES, LARGE: LIMIT_BYTES * 5 // 2}.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(os.urandom(size))
    bundle.write(folder, SITE)
    return folder


@pytest.fixture
def medium(tmp_path: Path, filled: Path) -> Path:
    pack(filled, tmp_path / "medium")
    return tmp_path / "medium"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "site.key"], check=True)
    public = ["openssl", "pkey", "-in", tmp_path / "site.key", "-pubout", "-out", tmp_path / "site.pub"]
    subprocess.run(list(map(str, public)), check=True)
    return tmp_path / "site.key"


def pack(filled: Path, medium: Path) -> None:
    difference.write(filled, difference.plan(filled, None), medium, LIMIT_BYTES)


def verify(medium: Path, key: Path) -> int:
    assert main(["sign", str(medium), "--key", str(key)]) == 0
    return main(["verify", str(medium), "--key", str(key.with_suffix(".pub"))])


def test_no_file_is_larger_than_a_part_and_together_they_are_the_whole(filled: Path, medium: Path) -> None:
    assert bundle.paths(medium) == {SMALL, *KEPT}
    assert [(medium / name).stat().st_size for name in KEPT] == [LIMIT_BYTES, LIMIT_BYTES, LIMIT_BYTES // 2]
    assert b"".join((medium / name).read_bytes() for name in KEPT) == (filled / LARGE).read_bytes()


def test_parts_are_below_what_every_file_system_takes() -> None:
    assert difference.LARGEST_BYTES < 4 << 30


def test_parts_are_signed_and_put_together_at_the_site(filled: Path, medium: Path, key: Path, tmp_path: Path) -> None:
    """Models among them: they lie at the site where hosts look for them."""
    assert verify(medium, key) == 0
    root = tmp_path / "srv"
    assert sorted(bring(medium, SITE, [], root, "", None)) == [LARGE, SMALL]
    assert (root / LARGE).read_bytes() == (filled / LARGE).read_bytes()
    assert bring(medium, SITE, [], root, "", None) == [], "the second import finds it there"


@pytest.mark.parametrize("part", KEPT)
def test_a_part_that_is_missing_is_named(
    medium: Path, key: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    (medium / part).unlink()
    assert verify(medium, key) == 1
    out = capsys.readouterr().out
    assert f"{part}\n  found:  no file\n" in out
    assert "faults: 1;" in out


def test_parts_that_were_swapped_are_both_named(medium: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, _ = (medium / name for name in KEPT)
    first.rename(medium / "swapped")
    second.rename(first)
    (medium / "swapped").rename(second)
    assert verify(medium, key) == 1
    out = capsys.readouterr().out.splitlines()
    assert {KEPT[0], KEPT[1]} <= set(out)
    assert "faults: 2;" in out[-1]


def test_parts_in_another_order_are_refused_at_the_site_and_nothing_is_kept(medium: Path, tmp_path: Path) -> None:
    """A list by whoever signs is believed in each part; what they give together must be the file as it was filled."""
    document = json.loads((medium / bundle.NAME).read_text())
    [entry] = [entry for entry in document["files"] if entry["path"] == LARGE]
    entry["parts"].reverse()
    for number, old in enumerate(reversed(KEPT), 1):
        shutil.copy(medium / old, medium / f"copy{number}")
    for number, name in enumerate(KEPT, 1):
        (medium / f"copy{number}").replace(medium / name)
    (medium / bundle.NAME).write_text(json.dumps(document))
    with pytest.raises(Error, match=f"needed: sha256:{entry['sha256']}"):
        bring(medium, SITE, [], tmp_path / "srv", "", None)
    assert not (tmp_path / "srv" / LARGE).exists()


def test_a_pack_that_was_interrupted_goes_on(filled: Path, medium: Path) -> None:
    (medium / KEPT[1]).unlink()
    bundle.forget(medium)
    before = {name: (medium / name).stat().st_mtime_ns for name in (SMALL, KEPT[0], KEPT[2])}
    pack(filled, medium)
    assert {name: (medium / name).stat().st_mtime_ns for name in before} == before
    assert (medium / KEPT[1]).read_bytes() == (filled / LARGE).read_bytes()[LIMIT_BYTES : 2 * LIMIT_BYTES]


@pytest.mark.parametrize("name", [SMALL, KEPT[1]])
def test_what_a_bad_disk_gives_back_is_named_and_packed_anew(filled: Path, medium: Path, name: str) -> None:
    (medium / name).unlink()
    (medium / name).write_bytes(os.urandom(LIMIT_BYTES))
    with pytest.raises(Error, match=r"Run it again"):
        pack(filled, medium)
    assert not (medium / bundle.NAME).exists(), "the folder does not count as whole"
    pack(filled, medium)
    assert {file.content for file in bundle.read(medium).files} == {file.content for file in bundle.read(filled).files}


def test_what_a_downloader_or_a_desktop_keeps_for_itself_is_not_carried(filled: Path) -> None:
    before = bundle.paths(filled)
    for name in ("models/coder/.cache/huggingface/download.lock", ".Trash-1000/files/old", ".DS_Store"):
        (filled / name).parent.mkdir(parents=True, exist_ok=True)
        (filled / name).write_text("")
    assert bundle.paths(filled) == before


def test_a_medium_is_packed_from_the_folder_that_was_filled(medium: Path, tmp_path: Path) -> None:
    with pytest.raises(Error, match="a folder as `qwen-mirror fill` leaves it"):
        pack(medium, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_site_that_has_a_file_in_parts_needs_it_no_more(filled: Path, medium: Path) -> None:
    assert difference.plan(filled, medium) == difference.plan(medium, filled) == []


def test_a_medium_without_room_is_refused_before_anything_is_written(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    options = ["pack", str(filled), "--to", str(tmp_path / "medium"), "--largest-gb", str(LIMIT_BYTES / 1e9)]
    assert main(options) == 2
    assert f"0.0 GB free at {tmp_path}/medium" in capsys.readouterr().err
    assert not list((tmp_path / "medium").iterdir())


def test_what_an_earlier_run_brought_needs_no_room_again(
    filled: Path, medium: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    pack(filled, medium)
    (medium / KEPT[0]).unlink()
    with pytest.raises(Error, match="GB free"):
        pack(filled, medium)
