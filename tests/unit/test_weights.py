"""Every way in which a copied model directory can be wrong is named, with file, found and expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.errors import WeightsError

from tests.fakes.model_files import write_safetensors

SHARD = "model-00001-of-00002.safetensors"
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
    assert [entry.path for entry in manifest.files] == sorted(
        path.name for path in model_dir.iterdir() if path.name != "manifest.json"
    )
    assert manifest.size_bytes == sum(
        path.stat().st_size for path in model_dir.iterdir() if path.name != "manifest.json"
    )


def test_a_flipped_byte_is_found_by_full_and_only_by_full(model_dir: Path) -> None:
    flip_last_byte(model_dir / SHARD)
    weights.verify(model_dir, full=False)
    message = refusal(model_dir, full=True)
    expected = next(entry.sha256 for entry in weights.read_manifest(model_dir).files if entry.path == SHARD)
    found = weights.sha256_of(model_dir / SHARD)
    assert f"{SHARD}: found SHA-256 {found}, expected {expected}. {weights.STAGE_AGAIN}" in message


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


def replace_by_directory(model_dir: Path) -> None:
    (model_dir / SHARD).unlink()
    (model_dir / SHARD).mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, f"{SHARD}: found {{short}} bytes, expected {{whole}} bytes"),
        (remove, f"{SHARD}: found nothing, expected {{whole}} bytes"),
        (add, "sub/extra.safetensors: found a file that the manifest does not list"),
        (link_outside, f"{SHARD}: found a link to {{outside}}, expected a file inside"),
        (replace_by_directory, f"{SHARD}: found no regular file, expected {{whole}} bytes"),
    ],
)
def test_fast_verification_finds(model_dir: Path, damage: Callable[[Path], None], message: str) -> None:
    whole = (model_dir / SHARD).stat().st_size
    damage(model_dir)
    expected = message.format(short=whole - 7, whole=whole, outside=model_dir.parent / "outside")
    assert expected in refusal(model_dir)


def test_every_fault_is_reported_at_once(model_dir: Path) -> None:
    truncate(model_dir)
    add(model_dir)
    (model_dir / "config.json").unlink()
    message = refusal(model_dir, full=True)
    assert "3 fault(s)" in message
    assert all(name in message for name in (SHARD, "sub/extra.safetensors", "config.json"))


def test_a_header_that_claims_more_than_the_file_holds_is_named(model_dir: Path) -> None:
    (model_dir / SHARD).write_bytes((10**12).to_bytes(8, "little") + b"{}")
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert f"{SHARD}: found a header of {10**12} bytes in a file of 10 bytes" in refusal(model_dir)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 1}', b'{"a": {"data_offsets": []}}'])
def test_a_header_that_is_no_table_of_tensors_is_named(model_dir: Path, header: bytes) -> None:
    (model_dir / SHARD).write_bytes(len(header).to_bytes(8, "little") + header)
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert f"{SHARD}: found a header that is not a table of tensors" in refusal(model_dir)


def test_tensors_that_do_not_fill_the_file_are_named(model_dir: Path) -> None:
    with (model_dir / SHARD).open("ab") as file:
        file.write(b"more")
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert f"{SHARD}: found tensors that end at byte" in refusal(model_dir)


def test_an_index_that_names_a_tensor_no_shard_has_is_named(model_dir: Path) -> None:
    write_safetensors(model_dir / SHARD, {"other": b"x"})
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert f"{SHARD}: found no tensor 'embed' (1 absent), expected the tensors of the index" in refusal(model_dir)


def test_an_index_that_names_an_unlisted_shard_is_named(model_dir: Path) -> None:
    (model_dir / INDEX).write_text(json.dumps({"weight_map": {"embed": "../../etc/passwd"}}))
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert f"{INDEX}: found shard '../../etc/passwd', expected only files that the manifest lists" in refusal(model_dir)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'])
def test_an_index_that_is_none_is_named(model_dir: Path, content: str) -> None:
    (model_dir / INDEX).write_text(content)
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert f"{INDEX}: found " in refusal(model_dir)


GOOD = {"path": "config.json", "size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ([{**GOOD, "path": "../outside"}], "'../outside'"),
        ([{**GOOD, "path": "a/../../outside"}], "'a/../../outside'"),
        ([{**GOOD, "path": "/etc/passwd"}], "'/etc/passwd'"),
        ([{**GOOD, "path": "a//b"}], "'a//b'"),
        ([{**GOOD, "path": "manifest.json"}], "'manifest.json'"),
        ([{**GOOD, "path": ""}], "''"),
        ([{**GOOD, "path": "a\0b"}], "path"),
        ([{**GOOD, "path": 7}], "path 7"),
        ([{**GOOD, "size": -1}], "size -1"),
        ([{**GOOD, "size": "1"}], "size '1'"),
        ([{**GOOD, "size": True}], "size True"),
        ([{**GOOD, "sha256": "0" * 63}], "64 hexadecimal digits"),
        ([GOOD, GOOD], "listed twice"),
        ([], "non-empty list of files"),
        (["config.json"], "'config.json'"),
        ("config.json", "non-empty list of files"),
    ],
)
def test_a_manifest_with_bad_entries_is_refused_before_any_file_is_opened(
    model_dir: Path, files: object, named: str
) -> None:
    content = {"format": 1, "model": "tiny", "revision": "test-1", "files": files}
    (model_dir / "manifest.json").write_text(json.dumps(content))
    assert named in refusal(model_dir)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "not a manifest of a known format"),
        ('{"format": 2}', "not a manifest of a known format"),
        ('{"format": 1, "model": "", "revision": "1", "files": [1]}', "incomplete"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(model_dir: Path, text: str, found: str) -> None:
    (model_dir / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    assert found in refusal(model_dir)


def test_a_missing_manifest_says_how_to_make_one(model_dir: Path) -> None:
    (model_dir / "manifest.json").unlink()
    assert f"qwen-runtime weights manifest {model_dir}" in refusal(model_dir)


def test_a_manifest_of_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no files"):
        weights.write_manifest(tmp_path, "tiny", "1")


def test_writing_a_manifest_again_changes_nothing_and_leaves_no_partial_file(model_dir: Path) -> None:
    before = {path.name: path.read_bytes() for path in model_dir.iterdir()}
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert {path.name: path.read_bytes() for path in model_dir.iterdir()} == before
