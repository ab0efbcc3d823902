"""Every fault of a copied model directory is named, with file, found, needed and remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.errors import WeightsError
from qwen_runtime.weights.digest import sha256_of

from tests.fakes.model_files import SHARDS, write_index, write_safetensors

SHARD, OTHER = SHARDS
INDEX = "model.safetensors.index.json"


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def refusal(directory: Path, *, full: bool = False) -> str:
    with pytest.raises(WeightsError) as caught:
        weights.verify(directory, full=full)
    return str(caught.value)


@pytest.mark.parametrize("full", [False, True])
def test_an_intact_directory_passes_and_is_described(model_dir: Path, full: bool) -> None:
    manifest = weights.verify(model_dir, full=full)
    assert (manifest.model, manifest.revision) == ("tiny", "test-1")
    files = [path for path in model_dir.iterdir() if path.name != "manifest.json"]
    assert [entry.path for entry in manifest.files] == sorted(path.name for path in files)
    assert manifest.size_bytes == sum(path.stat().st_size for path in files)


def test_a_flipped_byte_is_found_by_full_and_only_by_full(model_dir: Path) -> None:
    flip_last_byte(model_dir / SHARD)
    weights.verify(model_dir, full=False)
    message = refusal(model_dir, full=True)
    expected = next(entry.sha256 for entry in weights.read_manifest(model_dir).files if entry.path == SHARD)
    assert (
        f"{SHARD}: found: SHA-256 {sha256_of(model_dir / SHARD)}; needed: {expected}; remedy: {weights.STAGE_AGAIN}"
        in message
    )


def truncate(model_dir: Path) -> None:
    data = (model_dir / SHARD).read_bytes()
    (model_dir / SHARD).write_bytes(data[:-7])


def remove(model_dir: Path) -> None:
    (model_dir / SHARD).unlink()


def add(model_dir: Path) -> None:
    (model_dir / "sub").mkdir()
    (model_dir / "sub/extra.safetensors").write_bytes(b"")


def link_outside(model_dir: Path) -> None:
    outside = model_dir.parent / "outside"
    (model_dir / SHARD).rename(outside)
    (model_dir / SHARD).symlink_to(outside)


def link_a_folder_outside(model_dir: Path) -> None:
    (model_dir / "more").symlink_to(model_dir.parent)


def replace_by_directory(model_dir: Path) -> None:
    (model_dir / SHARD).unlink()
    (model_dir / SHARD).mkdir()


def replace_by_pipe(model_dir: Path) -> None:
    (model_dir / INDEX).unlink()
    os.mkfifo(model_dir / INDEX)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, f"{SHARD}: found: {{short}} bytes; needed: {{whole}} bytes"),
        (remove, f"{SHARD}: found: nothing; needed: {{whole}} bytes"),
        (add, "sub/extra.safetensors: found: a file that the manifest does not list"),
        (link_outside, f"{SHARD}: found: a link to {{outside}}; needed: a regular file"),
        (link_a_folder_outside, "more: found: a file that the manifest does not list"),
        (replace_by_directory, f"{SHARD}: found: no regular file; needed: {{whole}} bytes"),
        (replace_by_pipe, f"{INDEX}: found: no regular file"),
    ],
)
def test_fast_verification_finds(model_dir: Path, damage: Callable[[Path], None], message: str) -> None:
    whole = (model_dir / SHARD).stat().st_size
    damage(model_dir)
    expected = message.format(short=whole - 7, whole=whole, outside=model_dir.parent / "outside")
    refused = refusal(model_dir)
    assert "1 fault(s)" in refused
    assert expected in refused


def test_every_fault_is_reported_at_once(model_dir: Path) -> None:
    truncate(model_dir)
    add(model_dir)
    (model_dir / "config.json").unlink()
    message = refusal(model_dir, full=True)
    assert "3 fault(s)" in message
    assert all(name in message for name in (SHARD, "sub/extra.safetensors", "config.json"))


def rewrite_header(path: Path, old: bytes, new: bytes) -> None:
    """Replaces bytes; neither the length of the header nor the size of the file changes."""
    assert len(old) == len(new)
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"embed"', b'"umbed"', "tensor 'embed': absent; needed: U8 [500]"),
        (b'"U8"', b'"I8"', "tensor 'embed': I8 [500]; needed: U8 [500]"),
        (b"[500]", b"[501]", "tensor 'embed' of U8 [501] in 500 bytes; needed: an intact safetensors file"),
        (b'{"embed"', b'X"embed"', "a header that is not a table of tensors"),
    ],
)
def test_a_header_that_differs_from_the_manifest_is_found_by_fast(
    model_dir: Path, old: bytes, new: bytes, message: str
) -> None:
    rewrite_header(model_dir / SHARD, old, new)
    refused = refusal(model_dir)
    assert "1 fault(s)" in refused
    assert f"{SHARD}: found: {message}" in refused


def test_a_header_that_claims_more_than_the_file_holds_is_named(model_dir: Path) -> None:
    data = (model_dir / SHARD).read_bytes()
    (model_dir / SHARD).write_bytes((10**12).to_bytes(8, "little") + data[8:])
    assert f"{SHARD}: found: a header of {10**12} bytes in a file of {len(data)} bytes" in refusal(model_dir)


def test_an_index_changed_in_place_is_held_against_the_shards(model_dir: Path) -> None:
    rewrite_header(model_dir / INDEX, b'"embed"', b'"umbed"')
    refused = refusal(model_dir)
    assert f"{SHARD}: found: no tensor 'umbed'; needed: the tensors of the index" in refused
    assert f"{INDEX}: found: no entry for tensor 'embed' of {SHARD}; needed: every tensor of the shards" in refused


def test_an_index_that_is_none_any_more_is_named(model_dir: Path) -> None:
    path = model_dir / INDEX
    path.write_bytes(b" " * path.stat().st_size)
    assert f"{INDEX}: found: no weight_map in it" in refusal(model_dir)


def test_a_missing_manifest_says_how_to_make_one(model_dir: Path) -> None:
    (model_dir / "manifest.json").unlink()
    assert f"qwen-runtime weights manifest {model_dir}" in refusal(model_dir)


def test_a_manifest_that_is_a_link_is_refused(model_dir: Path) -> None:
    (model_dir / "manifest.json").rename(model_dir.parent / "manifest.json")
    (model_dir / "manifest.json").symlink_to(model_dir.parent / "manifest.json")
    assert f"manifest.json is a link to {model_dir.parent}/manifest.json" in refusal(model_dir)


def test_full_verification_of_a_file_that_cannot_be_read_names_it(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "readv", fail)
    assert f"{SHARD}: found: a read error (Input/output error); needed: a readable file" in refusal(
        model_dir, full=True
    )


def test_the_manifest_written_by_hand_for_other_shards_cannot_pass(model_dir: Path) -> None:
    """A shard and the index replaced together still differ from the manifest."""
    write_safetensors(model_dir / SHARD, {"other": b"x" * 500})
    write_index(model_dir, {"other": SHARD, "head": OTHER})
    assert f"{SHARD}: found" in refusal(model_dir)
