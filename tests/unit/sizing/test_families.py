"""Published models of current families are counted to the last parameter, or refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import catalogue, families, gpus, shards
from qwen_runtime.sizing.configs import from_config
from qwen_runtime.sizing.layout import Layout, misfit
from qwen_runtime.sizing.memory import account
from qwen_runtime.units import GIB

OTHER_FORMULAS = (
    "Qwen3-Coder-Next",
    "Qwen3.5-35B-A3B",
    "Qwen3.5-27B",
    "GLM-4.6",
    "DeepSeek-V3",
    "gpt-oss-120b",
    "MiniMax-M2",
    "Devstral-Small-2507",
)
PAGE = (Path(__file__).parents[3] / "docs/planner.md").read_text()
KEYS = {"model_type", "mamba_ssm_dtype"}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}


def config(
    model_type: str, layers: int, hidden: int, heads: tuple[int, int], width: int, vocabulary: int, **others: Any
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "intermediate_size": width,
        "vocab_size": vocabulary,
        "max_position_embeddings": 131072,
        **others,
    }


def experts(number: int, width: int) -> dict[str, int]:
    return {"head_dim": 128, "num_experts": number, "num_experts_per_tok": 8, "moe_intermediate_size": width}


@pytest.mark.parametrize(
    ("name", "published", "parameters", "kv_bytes"),
    [
        (
            "Qwen3-235B-A22B-Instruct-2507",
            config("qwen3_moe", 94, 4096, (64, 4), 12288, 151936, **experts(128, 1536)),
            235_093_634_560,
            192_512,
        ),
        ("Qwen3-8B", config("qwen3", 36, 4096, (32, 8), 12288, 151936, head_dim=128), 8_190_735_360, 147_456),
        ("Qwen3-32B", config("qwen3", 64, 5120, (64, 8), 25600, 151936, head_dim=128), 32_762_123_264, 262_144),
        ("Qwen2.5-72B", config("qwen2", 80, 8192, (64, 8), 29568, 152064), 72_706_203_648, 327_680),
        ("DeepSeek-R1-Distill-Qwen-32B", config("qwen2", 64, 5120, (40, 8), 27648, 152064), 32_763_876_352, 262_144),
        ("Llama-3.1-8B", config("llama", 32, 4096, (32, 8), 14336, 128256), 8_030_261_248, 131_072),
        (
            "Llama-3.3-70B",
            config("llama", 80, 8192, (64, 8), 28672, 128256, rope_scaling=LLAMA3),
            70_553_706_496,
            327_680,
        ),
        ("Llama-3.1-405B", config("llama", 126, 16384, (128, 8), 53248, 128256), 405_853_388_800, 516_096),
    ],
)
def test_a_published_model_is_counted_to_the_last_parameter(
    name: str, published: dict[str, Any], parameters: int, kv_bytes: int
) -> None:
    shape = from_config(name, published, "config.json")
    assert (shape.parameters, shape.kv_bytes_per_token, shape.context_tokens) == (parameters, kv_bytes, 131072)
    assert name in PAGE


@pytest.mark.parametrize("family", families.NOT_PLANNED)
def test_a_family_that_is_not_planned_is_refused_with_the_reason(family: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_config("m", {"model_type": family}, "config.json")
    assert f"describes model_type {family!r}: {families.NOT_PLANNED[family]}" in str(caught.value)
    wrapped = {"model_type": "wrapper", "text_config": {"model_type": family}}
    with pytest.raises(UsageError, match=re.escape(families.NOT_PLANNED[family])):
        from_config("m", wrapped, "config.json")


@pytest.mark.parametrize(
    ("name", "parameters", "kv_bytes", "request_bytes", "size_gib"),
    [
        # Counts of transformers' own models; sizes as published, of bf16 where no other form is.
        ("Qwen3-Coder-Next", 79_674_391_296, 12 * 2 * 2 * 256 * 2, 36 * (24_576 + 524_288) * 2, None),
        ("Qwen3.5-397B-A17B", 396_346_350_336, 15 * 2 * 2 * 256 * 2, 45 * (36_864 * 2 + 1_048_576 * 4), None),
        ("Qwen3.5-122B-A10B", 122_111_526_912, 12 * 2 * 2 * 256 * 2, 36 * (36_864 * 2 + 1_048_576 * 4), None),
        ("Qwen3.5-35B-A3B", 34_660_610_688, 10 * 2 * 2 * 256 * 2, 30 * (24_576 * 2 + 524_288 * 4), None),
        ("Qwen3.5-27B", 26_895_998_464, 16 * 2 * 4 * 256 * 2, 48 * (30_720 * 2 + 786_432 * 4), None),
        ("GLM-4.6", 352_797_829_024, 92 * 2 * 8 * 128 * 2, 0, None),
        ("DeepSeek-V3", 671_026_419_200, 61 * 576 * 2, 0, None),
        ("gpt-oss-120b", 116_829_156_672, 18 * 2 * 8 * 64 * 2, 18 * 128 * 2048, 60.8),
        ("gpt-oss-20b", 20_914_757_184, 12 * 2 * 8 * 64 * 2, 12 * 128 * 2048, 12.8),
        ("MiniMax-M2", 228_689_764_864, 62 * 2 * 8 * 128 * 2, 0, None),
        ("Devstral-Small-2507", 23_572_403_200, 40 * 2 * 8 * 128 * 2, 0, None),
    ],
)
def test_caches_that_follow_another_formula_are_counted_by_it(
    name: str, parameters: int, kv_bytes: int, request_bytes: int, size_gib: float | None
) -> None:
    shape = catalogue.get(name)
    assert (shape.parameters, shape.kv_bytes_per_token) == (parameters, kv_bytes)
    assert shape.state_bytes + shape.window_bytes == request_bytes
    if size_gib:
        assert shape.size_bytes / GIB == pytest.approx(size_gib, abs=0.05)
    assert name in PAGE


@pytest.mark.parametrize(
    ("name", "whole", "encoder", "ahead"),
    [
        # The whole as published; the encoder as transformers' Qwen3_5MoeVisionModel has it; what looks ahead is a layer
        # with full attention, a matrix of twice the hidden size by itself and three norms.
        ("Qwen3.5-397B-A17B", 403_397_928_944, 456_010_480, 6_595_568_128),
        ("Qwen3.5-122B-A10B", 125_086_497_008, 451_290_864, 2_523_679_232),
        ("Qwen3.5-35B-A3B", 35_951_822_704, 446_571_248, 844_640_768),
        ("Qwen3.5-27B", 27_781_427_952, 460_730_096, 424_699_392),
    ],
)
def test_a_model_that_sees_is_its_language_model_the_encoder_and_what_looks_ahead(
    name: str, whole: int, encoder: int, ahead: int
) -> None:
    shape = catalogue.get(name)
    assert shape.parameters == whole - encoder - ahead
    assert "vision_config: the encoder is left out, and the engine refuses images" in str(shape.remarks)


def test_a_language_model_that_was_taken_out_of_one_that_sees_is_the_same() -> None:
    text = catalogue.config("Qwen3.5-35B-A3B")["text_config"]
    alone = from_config("m", text, "config.json")
    assert alone.parameters == catalogue.get("Qwen3.5-35B-A3B").parameters
    assert not alone.remarks


def test_the_state_has_the_numbers_that_the_configuration_says() -> None:
    config = catalogue.config("Qwen3.5-35B-A3B")
    stated = {**config, "text_config": {**config["text_config"], "mamba_ssm_dtype": "bfloat16"}}
    assert from_config("m", stated, "config.json").state_bytes == 30 * (24_576 + 524_288) * 2
    wrong = {**config, "text_config": {**config["text_config"], "mamba_ssm_dtype": "fp4"}}
    with pytest.raises(UsageError, match="has mamba_ssm_dtype 'fp4'"):
        from_config("m", wrong, "config.json")


def test_states_and_windows_cost_each_request_the_same_whatever_its_length() -> None:
    memory = account(catalogue.get("Qwen3-Coder-Next"), gpus.get("h100-80gb"), Layout(4))
    short, long = memory.requests(100), memory.requests(100_000)
    assert short < memory.kv_bytes // (100 * memory.kv_bytes_per_token) / 2, "states are most of a short request"
    assert long == pytest.approx(memory.kv_bytes / (100_000 * memory.kv_bytes_per_token), rel=0.1)
    assert memory.request_bytes == catalogue.get("Qwen3-Coder-Next").state_bytes / 4


def test_compressed_keys_and_values_lie_on_every_rank() -> None:
    one, eight = (account(catalogue.get("DeepSeek-V3"), gpus.get("h200-141gb"), Layout(ranks)) for ranks in (1, 8))
    assert one.kv_bytes_per_token == eight.kv_bytes_per_token == 61 * 576 * 2


@pytest.mark.parametrize(
    ("name", "layout", "reason"),
    [
        ("Qwen3-Coder-Next-FP8", Layout(8), "the width of shared experts 512 / TP 8 = 64"),
        ("Qwen3-Coder-Next-FP8", Layout(4), None),
        ("Qwen3-Coder-Next", Layout(8), None),
        ("Qwen3.5-397B-A17B-FP8", Layout(8), None),
        ("Qwen3.5-397B-A17B", Layout(32), "16 heads of linear attention are not divisible by TP 32"),
        ("Qwen3.5-35B-A3B-FP8", Layout(8), "the width of shared experts 512 / TP 8 = 64"),
        ("Qwen3.5-27B", Layout(16), "24 attention heads are not divisible by TP 16"),
        ("DeepSeek-V3", Layout(8), None),
        ("gpt-oss-120b", Layout(8), None),
        ("MiniMax-M2", Layout(8), "moe_intermediate_size 1536 / TP 8 = 192"),
        ("MiniMax-M2", Layout(8, expert_parallel=8), None),
    ],
)
def test_layouts_follow_the_widths_of_each_family(name: str, layout: Layout, reason: str | None) -> None:
    refusal = misfit(catalogue.get(name), layout)
    assert (refusal is None) if reason is None else (reason in str(refusal))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"linear_num_key_heads": None}, "has no linear_num_key_heads"),
        ({"layer_types": ["full_attention"]}, "a list of 48 types of layers"),
        ({"layer_types": ["sliding_attention"] * 48, "sliding_window": 128}, "null, or layers without windows"),
        ({"full_attention_interval": 100}, "at least one layer with full attention"),
        ({"layer_types": ["linear_attention"] * 48}, "at least one layer with full attention"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "quant_method 'mxfp4'"),
    ],
)
def test_a_configuration_of_a_new_family_that_cannot_be_used_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        from_config("m", {**catalogue.config("Qwen3-Coder-Next"), **change}, "config.json")


VALUES = st.none() | st.booleans() | st.integers(-2, 5000) | st.floats() | st.text(max_size=3) | st.lists(st.integers())


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from(OTHER_FORMULAS), st.data())
def test_any_configuration_of_a_new_family_gives_a_shape_or_a_refusal(name: str, data: st.DataObject) -> None:
    config = catalogue.config(name)
    keys = st.sampled_from(sorted({*config, "layer_types", "full_attention_interval"} - {"model_type"}))
    try:
        shape = from_config("m", {**config, **data.draw(st.dictionaries(keys, VALUES, max_size=3))}, "config.json")
    except UsageError:
        return
    assert shape.size_bytes > 0
    assert shape.kv_bytes_per_token > 0
    assert shape.state_bytes + shape.window_bytes >= 0
    assert account(shape, gpus.get("h200-141gb"), Layout(1)).weights_bytes > 0


@pytest.mark.parametrize("ahead", ["mtp.layers.0.mlp.weight", "model.layers.61.mlp.weight"])
def test_tensors_that_look_ahead_are_not_the_models(ahead: str) -> None:
    assert shards.is_left_out(ahead, catalogue.get("DeepSeek-V3"))
    assert not shards.is_left_out("model.layers.60.mlp.weight", catalogue.get("DeepSeek-V3"))


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("model.visual.blocks.0.attn.qkv.weight", True),
        ("mtp.fc.weight", True),
        ("model.language_model.layers.40.mlp.gate.weight", True),
        ("model.language_model.layers.39.mlp.gate.weight", False),
        ("model.language_model.embed_tokens.weight", False),
        ("lm_head.weight", False),
    ],
)
def test_of_a_model_that_sees_the_language_model_alone_is_held_against_its_shards(name: str, left_out: bool) -> None:
    assert shards.is_left_out(name, catalogue.get("Qwen3.5-35B-A3B")) == left_out


def test_the_page_names_every_family_and_whether_it_is_planned() -> None:
    planned, refused = PAGE.split("## Families")[1].split("Refused with the reason")
    named = [set(re.findall(r"`([a-z0-9_]+)`", text)) - KEYS for text in (planned, refused)]
    assert named[0] == set(families.PLANNED)
    assert named[1] == {family for family in families.NOT_PLANNED if not family.endswith("_text")}
