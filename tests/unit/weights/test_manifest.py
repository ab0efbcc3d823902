"""A manifest is written only for a model that can be served, and read only when it is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.errors import WeightsError
from qwen_runtime.safetensors import Tensor

from tests.fakes.model_files import SHARDS, write_index, write_safetensors

SHARD, OTHER = SHARDS
INDEX = "model.safetensors.index.json"


def refusal(directory: Path) -> str:
    """Message of a refusal to write a manifest; an existing manifest stays as it was."""
    before = (directory / "manifest.json").read_bytes()
    with pytest.raises(WeightsError) as caught:
        weights.write_manifest(directory, "tiny", "2")
    assert (directory / "manifest.json").read_bytes() == before
    assert "Nothing was written" in str(caught.value)
    return str(caught.value)


def test_tensors_are_described_as_their_header_says(model_dir: Path) -> None:
    manifest = weights.read_manifest(model_dir)
    assert manifest.tensors == {SHARD: {"embed": Tensor("U8", (500,))}, OTHER: {"head": Tensor("U8", (500,))}}
    assert [entry.path for entry in manifest.files if entry.tensors] == [SHARD, OTHER]


def test_what_serving_needs_is_covered_by_name(model_dir: Path) -> None:
    assert weights.read_manifest(model_dir).covers == {
        "configuration": "config.json",
        "tokenizer": "tokenizer.json",
        "chat_template": "tokenizer_config.json",
        "generation_config": "generation_config.json",
    }


def without(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def without_template(directory: Path) -> None:
    (directory / "tokenizer_config.json").write_text("{}")


def without_shards(directory: Path) -> None:
    for name in (*SHARDS, INDEX):
        (directory / name).unlink()


def same_tensor_twice(directory: Path) -> None:
    write_safetensors(directory / OTHER, {"head": b"h", "embed": b"e"})


def shard_beside_the_index(directory: Path) -> None:
    write_safetensors(directory / "consolidated.safetensors", {"other": b"x"})


def index_of_another_tensor(directory: Path) -> None:
    write_index(directory, {"lost": SHARD, "embed": SHARD, "head": OTHER})


def index_without_a_tensor(directory: Path) -> None:
    write_safetensors(directory / SHARD, {"embed": b"e", "bias": b"b"})


def index_to_the_wrong_shard(directory: Path) -> None:
    write_index(directory, {"embed": SHARD, "head": SHARD})


def index_out_of_the_directory(directory: Path) -> None:
    write_index(directory, {"embed": SHARD, "head": OTHER, "x": "../../etc/passwd"})


def header_beyond_the_file(directory: Path) -> None:
    (directory / SHARD).write_bytes((10**12).to_bytes(8, "little") + b"{}")


def link_into_a_cache(directory: Path) -> None:
    (directory / SHARD).rename(directory.parent / "blob")
    (directory / SHARD).symlink_to("../blob")


def configuration_that_is_none(directory: Path) -> None:
    (directory / "config.json").write_text("[]")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("config.json"), "config.json: found: nothing; needed: the model's configuration"),
        (without("tokenizer.json"), "tokenizer.json: found: nothing; needed: a tokenizer"),
        (without("generation_config.json"), "generation_config.json: found: nothing; needed: sampling defaults"),
        (
            without_template,
            "chat_template.jinja: found: nothing; needed: a chat template, or one in tokenizer_config.json",
        ),
        (without_shards, "*.safetensors: found: nothing; needed: the model's weights"),
        (without(INDEX), f"{INDEX}: found: nothing; needed: the index of 2 shards"),
        (without(OTHER), f"{INDEX}: found: shard '{OTHER}'; needed: only shards that"),
        (
            same_tensor_twice,
            f"{OTHER}: found: tensor 'embed', which {SHARD} holds too; needed: every tensor in one shard",
        ),
        (shard_beside_the_index, "consolidated.safetensors: found: the weights once more, in a form that the index"),
        (index_of_another_tensor, f"{SHARD}: found: no tensor 'lost'; needed: the tensors of the index"),
        (index_without_a_tensor, f"{INDEX}: found: no entry for tensor 'bias' of {SHARD}"),
        (index_to_the_wrong_shard, f"{SHARD}: found: no tensor 'head'"),
        (index_out_of_the_directory, f"{INDEX}: found: shard '../../etc/passwd'; needed: only shards that"),
        (header_beyond_the_file, f"{SHARD}: found: a header of {10**12} bytes in a file of 10 bytes"),
        (link_into_a_cache, f"{SHARD}: found: a link to ../blob; needed: a regular file"),
        (configuration_that_is_none, "config.json: found: no JSON object"),
    ],
)
def test_what_cannot_be_served_gets_no_manifest(model_dir: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(model_dir)
    assert message in refusal(model_dir)


@pytest.mark.parametrize(
    ("content", "found"), [("[]", "no weight_map"), ('{"weight_map": {}}', "a weight_map that is")]
)
def test_an_index_that_is_none_is_named(model_dir: Path, content: str, found: str) -> None:
    (model_dir / INDEX).write_text(content)
    assert f"{INDEX}: found: {found}" in refusal(model_dir)


def test_one_file_needs_no_index(model_dir: Path) -> None:
    for name in (*SHARDS, INDEX):
        (model_dir / name).unlink()
    write_safetensors(model_dir / "model.safetensors", {"embed": b"e"})
    assert weights.write_manifest(model_dir, "tiny", "2").tensors == {
        "model.safetensors": {"embed": Tensor("U8", (1,))}
    }


def test_a_template_in_a_file_of_its_own_is_covered(model_dir: Path) -> None:
    without_template(model_dir)
    (model_dir / "chat_template.jinja").write_text("{{ messages }}")
    assert weights.write_manifest(model_dir, "tiny", "2").covers["chat_template"] == "chat_template.jinja"


GOOD = {"path": "config.json", "size": 1, "sha256": "0" * 64}


def read(model_dir: Path, content: object) -> str:
    (model_dir / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError) as caught:
        weights.read_manifest(model_dir)
    return str(caught.value)


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
        ([{**GOOD, "path": "a\nb"}], "path"),
        ([{**GOOD, "path": "\ud800"}], "path"),
        ([{**GOOD, "path": "a" * 256}], "path"),
        ([{**GOOD, "path": 7}], "path 7"),
        ([{**GOOD, "size": -1}], "size -1"),
        ([{**GOOD, "size": "1"}], "size '1'"),
        ([{**GOOD, "size": True}], "size True"),
        ([{**GOOD, "sha256": "0" * 63}], "64 hexadecimal digits"),
        ([{**GOOD, "tensors": {"a": {"dtype": "BF16"}}}], "tensors that are none"),
        ([{**GOOD, "tensors": {"a": {"dtype": "BF16", "shape": [-1]}}}], "tensors that are none"),
        ([{**GOOD, "tensors": {"a": {"dtype": "X", "shape": []}}}], "tensors that are none"),
        ([{**GOOD, "tensors": [1]}], "tensors that are none"),
        ([GOOD, GOOD], "listed twice"),
        ([{**GOOD, "path": "a"}, {**GOOD, "path": "a/b"}], "a is listed as a file and as a directory"),
        ([], "non-empty list of files"),
        (["config.json"], "'config.json'"),
        ("config.json", "non-empty list of files"),
        ([GOOD], "does not say what it covers"),
    ],
)
def test_a_manifest_with_bad_entries_is_refused_before_any_file_is_opened(
    model_dir: Path, files: object, named: str
) -> None:
    assert named in read(model_dir, {"format": 2, "model": "tiny", "revision": "test-1", "files": files})


def test_a_manifest_that_covers_a_file_it_does_not_list_is_refused(model_dir: Path) -> None:
    document = json.loads((model_dir / "manifest.json").read_text())
    document["covers"]["tokenizer"] = "../tokenizer.json"
    assert "covers '../tokenizer.json'" in read(model_dir, document)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "not JSON"),
        ("\udcff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a manifest"),
        ("{}", "not a manifest"),
        ('{"format": 2, "model": "", "revision": "1", "files": [1]}', "incomplete"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(model_dir: Path, text: str, found: str) -> None:
    (model_dir / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError, match=found):
        weights.read_manifest(model_dir)


def test_the_format_before_this_one_is_named_with_what_to_do(model_dir: Path) -> None:
    message = read(model_dir, {"format": 1, "model": "tiny", "revision": "1", "files": [GOOD]})
    assert "a manifest of format 1\nneeded: format 2" in message
    assert "qwen-runtime weights manifest DIR --model NAME" in message


def test_a_manifest_too_large_to_be_one_is_not_read(model_dir: Path) -> None:
    with (model_dir / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(WeightsError, match="too large"):
        weights.read_manifest(model_dir)


def test_an_empty_directory_gets_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"\*\.safetensors: found: nothing"):
        weights.write_manifest(tmp_path, "tiny", "1")
    assert not list(tmp_path.iterdir())


def test_writing_again_changes_nothing_and_takes_away_what_a_killed_run_left(model_dir: Path) -> None:
    before = {path.name: path.read_bytes() for path in model_dir.iterdir()}
    shutil.copy(model_dir / "config.json", model_dir / ".manifest.json.partial")
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert {path.name: path.read_bytes() for path in model_dir.iterdir()} == before
