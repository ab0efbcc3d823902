"""Counts follow exactly from a configuration, and a configuration that cannot be right is refused with its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime import safetensors
from qwen_runtime.demo.downloads import DOWNLOADS
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import catalogue
from qwen_runtime.sizing.configs import from_config
from qwen_runtime.units import GIB

CODER = "Qwen3-Coder-480B-A35B-Instruct"
MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "intermediate_size": 512,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (CODER, 480_154_875_392),
        ("Qwen3-Coder-30B-A3B-Instruct", 30_532_122_624),
        ("Qwen2.5-Coder-0.5B-Instruct", 494_032_768),
        ("Qwen2.5-Coder-1.5B-Instruct", 1_543_714_304),
        ("Qwen2.5-Coder-7B-Instruct", 7_615_616_512),
        ("Qwen2.5-Coder-32B-Instruct", 32_763_876_352),
        ("SmolLM2-135M-Instruct", 134_515_008),
    ],
)
def test_parameters_are_those_that_the_publishers_count(name: str, parameters: int) -> None:
    assert catalogue.get(name).parameters == parameters


def test_the_flagship_is_480_15_billion_and_its_longest_context_takes_62_gib() -> None:
    shape = catalogue.get(CODER)
    assert f"{shape.parameters / 1e9:.2f}" == "480.15"
    assert f"{shape.active_parameters / 1e9:.0f}" == "35"
    assert shape.kv_bytes_per_token * 262_144 == 62 * GIB


def test_biases_are_counted_where_each_family_has_them() -> None:
    llama = {**MOE, "model_type": "llama", "attention_bias": True}
    plain = from_config("m", {**llama, "attention_bias": False}, "").parameters
    q, kv, output = 8 * 32, 4 * 32, 256
    assert from_config("m", llama, "").parameters - plain == 4 * (q + 2 * kv + output)
    assert from_config("m", {**llama, "model_type": "qwen2"}, "").parameters - plain == 4 * (q + 2 * kv)


def test_parts_sum_to_the_whole() -> None:
    for shape in catalogue.known().values():
        parts = shape.parts().values()
        assert sum(parameters for parameters, _ in parts) == shape.parameters
        assert sum(size_bytes for _, size_bytes in parts) == shape.size_bytes


def test_fp8_keeps_embedding_output_norms_and_router_and_counts_scales() -> None:
    whole, half = catalogue.get(CODER).parts(), catalogue.get(CODER + "-FP8").parts()
    for part in ("embedding", "output", "norms", "router"):
        assert half[part] == whole[part]
    parameters, size_bytes = half["experts"]
    assert size_bytes == parameters + parameters // (128 * 128) * 4


def test_a_mixture_that_transformers_has_saved_is_the_same_mixture() -> None:
    renamed = {("num_local_experts" if key == "num_experts" else key): value for key, value in MOE.items()}
    assert from_config("m", renamed, "config.json") == from_config("m", MOE, "config.json")


def test_layers_without_experts_are_counted_as_dense() -> None:
    sparse = from_config("m", MOE, "config.json")
    mixed = from_config("m", {**MOE, "mlp_only_layers": [0]}, "config.json")
    assert (sparse.dense_layers, mixed.dense_layers) == (0, 1)
    assert from_config("m", {**MOE, "decoder_sparse_step": 2}, "config.json").dense_layers == 2
    experts, dense = 3 * 8 * 256 * 128 + 8 * 256, 3 * 256 * 512
    assert sparse.parameters - mixed.parameters == experts - dense


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": ["llama"]}, "model_type ['llama']"),
        (
            {"model_type": "bert"},
            "model_type 'bert'\nneeded: one of qwen3_moe, qwen3_next, qwen3_5_moe, qwen3_5, qwen3, qwen2, llama",
        ),
        ({"model_type": None}, "model_type None"),
        ({"num_hidden_layers": None}, "has no num_hidden_layers"),
        ({"hidden_size": "256"}, "hidden_size '256'\nneeded: a whole number above 0"),
        ({"vocab_size": -1}, "vocab_size -1"),
        ({"num_experts": True}, "num_experts True"),
        ({"head_dim": None, "hidden_size": 250}, "num_attention_heads 8\nneeded: a divisor of hidden_size, 250"),
        ({"mlp_bias": True}, "mlp_bias True"),
        ({"num_experts_per_tok": 9}, "num_experts_per_tok 9\nneeded: at most num_experts, 8"),
        ({"num_key_value_heads": 3}, "num_key_value_heads 3\nneeded: a divisor of num_attention_heads, 8"),
        ({"num_hidden_layers": 10**30}, "has a num_hidden_layers of 31 digits\nneeded: at most 10000"),
        ({"hidden_size": 0}, "hidden_size 0\nneeded: a whole number above 0"),
        ({"hidden_size": 256.0}, "hidden_size 256.0\nneeded: a whole number above 0"),
        ({"vocab_size": 2**31}, "has a vocab_size of 10 digits"),
        ({"mlp_only_layers": 3}, "mlp_only_layers 3\nneeded: a list of layers"),
        ({"mlp_only_layers": [{}]}, "mlp_only_layers [{}]"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_config("m", {**MOE, **change}, "models/m/config.json")
    assert str(caught.value).startswith("found:  models/m/config.json")
    assert message in str(caught.value)


def write(directory: Path, config: object, index: object = None) -> Path:
    (directory / "config.json").write_text(json.dumps(config))
    if index is not None:
        (directory / safetensors.INDEX_NAME).write_text(json.dumps(index))
    return directory


def test_a_directory_is_read_and_held_against_its_index(tmp_path: Path) -> None:
    size_bytes = from_config("m", MOE, "").size_bytes
    assert catalogue.get(str(write(tmp_path, MOE))).size_bytes == size_bytes
    write(tmp_path, MOE, {"metadata": {"total_size": size_bytes}, "weight_map": {"lm_head.weight": "a"}})
    assert catalogue.read(tmp_path).size_bytes == size_bytes
    write(tmp_path, MOE, {"metadata": {"total_size": size_bytes + 2}, "weight_map": {}})
    with pytest.raises(UsageError, match=rf"states {size_bytes + 2} bytes of weights\nneeded: {size_bytes} bytes"):
        catalogue.read(tmp_path)


def test_an_output_that_a_conversion_untied_is_counted(tmp_path: Path) -> None:
    tied = {**MOE, "tie_word_embeddings": True}
    assert not catalogue.read(write(tmp_path, tied, {"weight_map": {"lm_head.weight": "a"}})).tied
    assert catalogue.read(write(tmp_path, tied, {"weight_map": {"model.norm.weight": "a"}})).tied


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is missing"), ("{", "is not JSON"), ("[]", "holds no JSON object")]
)
def test_a_directory_without_a_configuration_says_so(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        catalogue.read(tmp_path)


@pytest.mark.parametrize("name", ["qwen3-coder-480b-a35b-instruct", f"Qwen/{CODER}", CODER.upper()])
def test_names_are_found_however_they_are_written(name: str) -> None:
    assert catalogue.get(name).name == CODER


def test_an_unknown_name_lists_close_ones() -> None:
    with pytest.raises(UsageError, match=f"closest names are .*{CODER}"):
        catalogue.get("Qwen3-Coder-480B")


def test_models_that_packages_carry_are_planned_by_the_same_names() -> None:
    for download in DOWNLOADS:
        for name in (download.name, *download.short_names):
            assert catalogue.get(name).name.lower() == download.name
