"""Published models of current families are counted to the last parameter, or refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import families
from qwen_runtime.sizing.shape import from_config

PAGE = (Path(__file__).parents[3] / "docs/planner.md").read_text()
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


def test_the_page_names_every_family_and_whether_it_is_planned() -> None:
    planned, refused = PAGE.split("## Families")[1].split("Refused with the reason")
    named = [set(re.findall(r"`([a-z0-9_]+)`", text)) - {"model_type"} for text in (planned, refused)]
    assert named[0] == set(families.PLANNED)
    assert named[1] == {family for family in families.NOT_PLANNED if not family.endswith("_text")}
