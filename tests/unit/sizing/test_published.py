"""Configurations as publishers write them: sizes in text_config, stretched contexts, and weights in other forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import catalogue, published, stored
from qwen_runtime.sizing.configs import from_config

from tests.fakes.model_files import W8A8, dense_config

DENSE = dense_config("qwen2", 32768)
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


def context(**change: object) -> int:
    return from_config("m", {**DENSE, **change}, "config.json").context_tokens


@pytest.mark.parametrize(
    ("change", "tokens"),
    [
        ({"rope_scaling": None}, 32768),
        ({"rope_scaling": YARN}, 131072),
        ({"rope_scaling": {**YARN, "type": None, "rope_type": "yarn"}}, 131072),
        ({"rope_parameters": {**YARN, "rope_theta": 1e6}}, 131072),
        ({"rope_scaling": YARN, "max_position_embeddings": 40960}, 131072),  # Qwen3, by its model card
        ({"rope_scaling": YARN, "max_position_embeddings": 131072}, 131072),  # stated as stretched already
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, 131072),  # the original is what is stated
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}, "original_max_position_embeddings": 16384}, 32768),
        ({"rope_scaling": {"type": "linear", "factor": 2.5}}, 81920),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, 65536),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}}, 32768),
        ({"rope_scaling": {"type": "longrope", "factor": 4.0}}, 32768),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 32768),
        ({"rope_parameters": {"full_attention": {**YARN}, "sliding_attention": {"rope_type": "default"}}}, 32768),
    ],
)
def test_the_longest_context_is_the_stretched_one(change: dict[str, Any], tokens: int) -> None:
    assert context(**change) == tokens


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_scaling": "yarn"}, "rope_scaling 'yarn'\nneeded: an object, or null"),
        ({"rope_scaling": {"type": "yarn", "factor": "4"}}, "yarn factor '4'\nneeded: a number from 1 on"),
        ({"rope_scaling": {"type": "yarn", "factor": 0}}, "yarn factor 0\nneeded: a number from 1 on"),
        ({"rope_scaling": {"type": "linear", "factor": float("inf")}}, "linear factor inf"),
        ({"rope_scaling": {**YARN, "original_max_position_embeddings": -1}}, "original_max_position_embeddings -1"),
        ({"text_config": []}, "text_config []\nneeded: an object"),
    ],
)
def test_a_scaling_that_is_none_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        context(**change)
    assert message in str(caught.value)


def test_a_model_that_states_its_stretched_context_is_not_stretched_twice() -> None:
    config = {"text_config": {"model_type": "gemma3_text", "max_position_embeddings": 131072, "rope_scaling": YARN}}
    assert published.longest_context(config, "config.json") == 131072


def test_sizes_are_read_from_the_text_config() -> None:
    wrapped = {"model_type": "wrapper", "tie_word_embeddings": True, "text_config": DENSE}
    assert from_config("m", wrapped, "config.json") == from_config("m", {**DENSE, "tie_word_embeddings": True}, "")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "gemma3", "text_config": {**DENSE, "model_type": "gemma3_text"}},
            "model_type 'gemma3' with a text_config of model_type 'gemma3_text'",
        ),
        (
            {"model_type": "wrapper", "text_config": DENSE, "vision_config": {"depth": 32}},
            "config.json has vision_config",
        ),
    ],
)
def test_what_is_more_than_a_known_language_model_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_config("m", config, "config.json")
    assert message in str(caught.value)


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
PACKED = {"quant_method": "compressed-tensors", "format": "pack-quantized"}


def w8a8(**group: object) -> dict[str, Any]:
    """W8A8 with other words in its group."""
    return {**W8A8, "config_groups": {"W8A8": {**W8A8["config_groups"]["W8A8"], **group}}}


@pytest.mark.parametrize("nested", [False, True])
def test_a_dense_model_in_int8_is_planned_by_its_rows(nested: bool) -> None:
    config = {**DENSE, "quantization_config": W8A8}
    shape = from_config("m", {"text_config": config} if nested else config, "")
    assert shape.quantization == "int8"
    attention, mlp = 64 * 64 * 2 + 64 * 32 * 2, 3 * 64 * 128  # two layers of each
    rows = 64 + 2 * 32 + 64 + 2 * 128 + 64
    plain = from_config("m", DENSE, "")
    assert plain.size_bytes - shape.size_bytes == 2 * (attention + mlp - 4 * rows)


@pytest.mark.parametrize(("entry", "block"), [(None, None), ({}, None), (FP8, 128)])
def test_bf16_and_fp8_in_blocks_are_planned(entry: object, block: int | None) -> None:
    assert from_config("m", {**DENSE, "quantization_config": entry}, "").fp8_block == block
    assert from_config("m", {"text_config": {**DENSE, "quantization_config": entry}}, "").fp8_block == block


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        ("quantization_config", [], "quantization_config []\nneeded: an object, or null"),
        ("quantization_config", "fp8", "quantization_config 'fp8'\nneeded: an object, or null"),
        ("compression_config", [], "compression_config []\nneeded: an object, or null"),
        (
            "quantization_config",
            {"quant_method": "awq", "bits": 4},
            "quantization_config with quant_method 'awq', bits 4",
        ),
        ("quantization_config", {"quant_method": "gptq", "bits": 8}, "quant_method 'gptq', bits 8"),
        ("quantization_config", {"quant_method": "mxfp4"}, "quantization_config with quant_method 'mxfp4'"),
        ("quantization_config", NVFP4, "quantization_config with quant_method 'modelopt', quant_algo 'NVFP4'"),
        ("quantization_config", PACKED, "quant_method 'compressed-tensors', format 'pack-quantized'"),
        ("compression_config", PACKED, "compression_config with quant_method 'compressed-tensors'"),
        (
            "quantization_config",
            {**W8A8, "config_groups": {}},
            "quant_method 'compressed-tensors', format 'int-quantized'",
        ),
        ("quantization_config", {**W8A8, "ignore": []}, "format 'int-quantized'"),
        ("quantization_config", {**W8A8, "ignore": ["lm_head", "model.layers.0"]}, "format 'int-quantized'"),
        ("quantization_config", w8a8(input_activations=None), "format 'int-quantized'"),
        ("quantization_config", w8a8(weights={"num_bits": 4, "type": "int"}), "format 'int-quantized'"),
        ("quantization_config", w8a8(targets=["re:.*mlp.*"]), "format 'int-quantized'"),
        ("compression_config", FP8, "compression_config with quant_method 'fp8'"),
        ("quantization_config", {"quant_method": "fp8"}, "quantization_config with quant_method 'fp8'"),
        ("quantization_config", {**FP8, "weight_block_size": [128, 64]}, "weight_block_size [128, 64]"),
        ("quantization_config", {**FP8, "weight_block_size": [0, 0]}, "weight_block_size [0, 0]"),
        ("quantization_config", {**FP8, "weight_block_size": [True, True]}, "weight_block_size [True, True]"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_another_form_is_refused_by_the_key_that_says_it(key: str, entry: object, message: str, nested: bool) -> None:
    config = {**DENSE, key: entry}
    with pytest.raises(UsageError) as caught:
        from_config("m", {"text_config": config} if nested else config, "config.json")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "hf_quant_config.json",
            {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}},
            "hf_quant_config.json has quantization.quant_algo 'NVFP4'",
        ),
        ("hf_quant_config.json", {}, "hf_quant_config.json has quantization.quant_algo None"),
        ("quantize_config.json", {"bits": 4, "group_size": 128}, "quantize_config.json has bits 4"),
        ("quant_config.json", {"w_bit": 4}, "quant_config.json has w_bit 4"),
    ],
)
def test_another_form_is_refused_by_the_file_that_says_it(
    tmp_path: Path, name: str, content: object, message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE))
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        catalogue.read(tmp_path)
    assert message in str(caught.value)
    stored.refuse_other_files(tmp_path, {**DENSE, "quantization_config": FP8})  # config.json says the form itself


def test_a_configuration_that_git_lfs_left_as_a_pointer_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UsageError, match=r"config.json is a Git LFS pointer to 9 bytes"):
        catalogue.read(tmp_path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from([1, 2, 64, "yarn"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [*DENSE, "text_config", "rope_scaling", "rope_parameters", "quantization_config", "head_dim", "mlp_only_layers"]
)
ropes = st.fixed_dictionaries({"type": values}, optional={"factor": values, published.ORIGINAL_CONTEXT: values})
forms = st.fixed_dictionaries({"quant_method": st.just("fp8") | values}, optional={"weight_block_size": values})


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["qwen2", "qwen3_moe"]), st.dictionaries(keys, values | ropes | forms, max_size=4))
def test_any_configuration_gives_a_shape_or_a_refusal(family: str, changes: dict[str, Any]) -> None:
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    try:
        shape = from_config("m", {**DENSE, **experts, "model_type": family, **changes}, "config.json")
    except UsageError:
        return
    assert shape.size_bytes > 0
    assert 0 < shape.context_tokens <= published.LARGEST
