"""Shards are the truth about a checkpoint's size; an index that is wrong is reported, another model's is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qwen_runtime.errors import UsageError
from qwen_runtime.plan import build, make, plan
from qwen_runtime.safetensors import INDEX_NAME
from qwen_runtime.sizing import catalogue, shards
from qwen_runtime.sizing.configs import from_config
from qwen_runtime.weights import checkpoint

from tests.fakes.model_files import W8A8, dense_config, write_safetensors, write_weights

CONFIG = dense_config("llama", 2048)
PLAIN = from_config("m", CONFIG, "config.json")
COUNT, BYTES = PLAIN.parameters, PLAIN.size_bytes
SHARD = "model-00001-of-00001.safetensors"


def model(directory: Path, total_size: object = None, parameters: int | None = COUNT, dtype: str = "BF16") -> Path:
    """A directory with an index, and with its shard unless `parameters` is None."""
    (directory / "config.json").write_text(json.dumps(CONFIG))
    index = {"metadata": {"total_size": total_size}, "weight_map": {"weight": SHARD}}
    (directory / INDEX_NAME).write_text(json.dumps(index))
    if parameters is not None:
        write_weights(directory / SHARD, parameters, dtype)
    return directory


@pytest.mark.parametrize("stated", [None, BYTES])
def test_a_right_index_is_not_spoken_of(tmp_path: Path, stated: object) -> None:
    assert catalogue.read(model(tmp_path, stated)).remarks == ()


@pytest.mark.parametrize("stated", [COUNT, float(BYTES) + 0.5, BYTES + 2, 1, "many", -1, True, 10**40])
def test_a_wrong_total_size_beside_sound_shards_is_reported_and_refuses_nothing(tmp_path: Path, stated: object) -> None:
    [remark] = catalogue.read(model(tmp_path, stated)).remarks
    assert f"states a total_size of {stated!r}; the shards hold {BYTES} bytes, which count" in remark


def thousand(directory: Path) -> Path:
    """The same model in as many shards as the index names."""
    sizes = [COUNT // 1000] * 999
    names = [f"model-{number:05}-of-01000.safetensors" for number in range(1, 1001)]
    for number, (name, size) in enumerate(zip(names, [*sizes, COUNT - sum(sizes)], strict=True)):
        write_weights(directory / name, size, name=f"weight.{number}")
    index = {"metadata": {"total_size": BYTES}, "weight_map": {f"weight.{n}": name for n, name in enumerate(names)}}
    (directory / INDEX_NAME).write_text(json.dumps(index))
    (directory / "config.json").write_text(json.dumps(CONFIG))
    return directory


def test_a_thousand_shards_are_one_model_and_another_models_shard_among_them_is_found(tmp_path: Path) -> None:
    assert catalogue.read(thousand(tmp_path)).remarks == ()
    write_weights(tmp_path / "model-00500-of-01000.safetensors", COUNT, name="weight.499")
    with pytest.raises(UsageError, match="belongs to another model"):
        catalogue.read(tmp_path)


def test_two_models_in_one_directory_are_told_apart_by_the_index(tmp_path: Path) -> None:
    """The planner counts the shards that the index names; verification names the others."""
    write_safetensors(model(tmp_path, BYTES) / "model-00001-of-00002.safetensors", {"other": bytes(64)})
    assert catalogue.read(tmp_path).remarks == ()
    headers, _ = checkpoint.read_headers(tmp_path, [path.name for path in tmp_path.iterdir()])
    [fault] = checkpoint.tensor_faults(tmp_path, headers, indexed=True)
    assert (fault.subject, fault.found) == ("model-00001-of-00002.safetensors", "a shard that the index does not name")


def test_what_is_odd_about_the_files_stands_in_the_plan(tmp_path: Path) -> None:
    request = make(model=str(model(tmp_path, COUNT)), gpu="h100", gpus_per_node=1)
    assert any("the shards hold" in warning for warning in build(plan(request))["warnings"])


@pytest.mark.parametrize(
    ("stated", "remark"),
    [
        (COUNT, "which is the number of parameters, not of bytes"),
        (float(BYTES), "which is no whole number"),
        ("many", "which says nothing"),
        (-1, "which says nothing"),
    ],
)
def test_without_shards_an_odd_total_size_is_reported(tmp_path: Path, stated: object, remark: str) -> None:
    assert remark in catalogue.read(model(tmp_path, stated, parameters=None)).remarks[0]


@pytest.mark.parametrize("stated", [BYTES + 2, 10**40, float("inf")])
def test_without_shards_the_total_size_of_another_model_is_refused(tmp_path: Path, stated: object) -> None:
    with pytest.raises(UsageError, match=rf"bytes of weights\nneeded: {BYTES} bytes[\s\S]*put the shards beside it"):
        catalogue.read(model(tmp_path, stated, parameters=None))


def test_weights_in_float32_take_twice_the_bytes(tmp_path: Path) -> None:
    assert catalogue.read(model(tmp_path, 2 * BYTES, dtype="F32")) == from_config(tmp_path.name, CONFIG, "config.json")


@pytest.mark.parametrize("in_int8", [8, 7], ids=["whole", "a layer short"])
def test_int8_is_held_against_its_shards_with_scales_in_half_the_bytes(tmp_path: Path, in_int8: int) -> None:
    """in_int8: eighths of the matrices that the shards have."""
    shape = from_config("m", {**CONFIG, "quantization_config": W8A8}, "config.json")
    matrices = [tensor for tensor in shape.tensors() if tensor.quantizable]
    numbers = sum(tensor.parameters for tensor in matrices)
    rows = sum(tensor.rows * tensor.copies for tensor in matrices)
    weight_map = {"matrices": "a.safetensors", "others": "b.safetensors"}
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": W8A8}))
    (tmp_path / INDEX_NAME).write_text(json.dumps({"weight_map": weight_map}))
    write_weights(tmp_path / "a.safetensors", numbers * in_int8 // 8, "I8", "matrices")
    write_weights(tmp_path / "b.safetensors", shape.parameters - numbers + rows, "BF16", "others")
    if in_int8 == 8:
        assert catalogue.read(tmp_path).quantization == "int8"
    else:
        with pytest.raises(UsageError, match="bytes of weights"):
            catalogue.read(tmp_path)


@pytest.mark.parametrize(
    ("parameters", "dtype", "message"),
    [
        (COUNT + 1, "BF16", f"hold {BYTES + 2} bytes of weights\nneeded: {BYTES} bytes"),
        (COUNT // 2, "I32", rf"has tensor 'weight' of I32 \[{COUNT // 2}\]\nneeded: BF16 or F16 or F32"),
    ],
)
def test_shards_that_are_not_what_the_configuration_says_are_refused(
    tmp_path: Path, parameters: int, dtype: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        catalogue.read(model(tmp_path, BYTES, parameters, dtype))


def test_a_single_file_is_held_against_the_configuration_too(tmp_path: Path) -> None:
    model(tmp_path, parameters=None)
    (tmp_path / INDEX_NAME).unlink()
    write_weights(tmp_path / "model.safetensors", COUNT + 1)
    with pytest.raises(UsageError, match=f"hold {BYTES + 2} bytes"):
        catalogue.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer to 9 bytes"),
        (b"short", "has a header of"),
    ],
)
def test_a_shard_that_is_none_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (model(tmp_path) / SHARD).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{SHARD} {message}"):
        catalogue.read(tmp_path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
indexes = st.fixed_dictionaries(
    {},
    optional={
        "metadata": values | st.fixed_dictionaries({"total_size": values}),
        "weight_map": values | st.dictionaries(st.text(max_size=4), st.sampled_from(["../x", "a/b", SHARD]) | values),
    },
)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(indexes)
def test_any_index_gives_a_shape_or_a_refusal(tmp_path: Path, index: object) -> None:
    (tmp_path / INDEX_NAME).write_text(json.dumps(index))
    try:
        assert shards.compare(PLAIN, tmp_path).size_bytes == BYTES
    except UsageError:
        return
