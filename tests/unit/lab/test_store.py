"""Cached artefacts: complete or absent, and never used when damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import store


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(store, "CACHE", tmp_path)
    return tmp_path


def make(into: Path) -> None:
    (into / "tool").write_text("content")


def test_an_artefact_is_made_once() -> None:
    folder, made = store.obtain("tools/x", "k1", make)
    assert made
    assert (folder / "tool").read_text() == "content"
    assert store.obtain("tools/x", "k1", make) == (folder, False)


def test_a_flipped_byte_is_said_and_mended(capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = store.obtain("tools/x", "k1", make)
    (folder / "tool").write_text("cOntent")
    folder, made = store.obtain("tools/x", "k1", make)
    assert made
    assert (folder / "tool").read_text() == "content"
    assert f"{folder}/tool differs from its recorded digest" in capsys.readouterr().out


def test_files_are_read_once_a_boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, _ = store.obtain("tools/x", "k1", make)
    read: list[str] = []
    digest = store.sha256
    monkeypatch.setattr(store, "sha256", lambda path: read.append(path.name) or digest(path))
    monkeypatch.setattr(store, "BOOT", tmp_path / "boot")
    for boot in ("first", "first", "second"):
        (tmp_path / "boot").write_text(boot)
        assert store.obtain("tools/x", "k1", make) == (folder, False)
    assert read == ["tool", "tool"]


def test_a_flipped_byte_under_the_old_size_and_time_is_mended() -> None:
    folder, _ = store.obtain("tools/x", "k1", make)
    store.obtain("tools/x", "k1", make)
    before = (folder / "tool").stat()
    (folder / "tool").write_text("cOntent")
    os.utime(folder / "tool", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.obtain("tools/x", "k1", make)[1]
    assert (folder / "tool").read_text() == "content"


@pytest.mark.parametrize("damage", ["missing", "added", "no sums"])
def test_missing_and_added_files_count_as_damage(damage: str) -> None:
    folder, _ = store.obtain("tools/x", "k1", make)
    store.obtain("tools/x", "k1", make)
    if damage == "missing":
        (folder / "tool").unlink()
    elif damage == "added":
        (folder / "other").write_text("?")
    else:
        (folder / store.SUMS).unlink()
    assert store.obtain("tools/x", "k1", make)[1]


def test_an_interrupted_make_leaves_nothing_that_passes_for_whole(cache: Path) -> None:
    def interrupted(into: Path) -> None:
        (into / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.obtain("tools/x", "k1", interrupted)
    assert not (cache / "tools/x/k1").exists()
    folder, _ = store.obtain("tools/x", "k1", make)
    assert sorted(p.name for p in folder.iterdir()) == [store.SUMS, "tool"]


def test_a_new_key_replaces_the_old_artefact(cache: Path) -> None:
    store.obtain("tools/x", "k1", make)
    store.obtain("tools/x", "k2", make)
    assert [p.name for p in (cache / "tools/x").iterdir()] == ["k2"]
