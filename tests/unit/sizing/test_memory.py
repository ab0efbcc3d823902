"""Bytes on one GPU agree with what others derived and what vLLM printed, and layouts that cannot be are refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import catalogue, gpus
from qwen_runtime.sizing.layout import Layout, Site, candidates, misfit
from qwen_runtime.sizing.memory import account, weights_bytes
from qwen_runtime.units import GIB

from python.calibration.measurements import MEMORY_ACCOUNTS, MemoryAccount, shape_of

BF16 = catalogue.get("Qwen3-Coder-480B-A35B-Instruct")
FP8 = catalogue.get("Qwen3-Coder-480B-A35B-Instruct-FP8")


@pytest.mark.parametrize(
    ("shape", "layout", "weights_gib"),
    [
        (FP8, Layout(8, expert_parallel=8), 56.2),
        (FP8, Layout(4, expert_parallel=8, attention_groups=2), 57.8),
        (FP8, Layout(1, expert_parallel=8, attention_groups=8), 67.5),
        (BF16, Layout(8, expert_parallel=8), 111.9),
        (BF16, Layout(8, 2), 55.9),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_weights_of_the_flagship_on_one_gpu(shape: catalogue.Shape, layout: Layout, weights_gib: float) -> None:
    assert weights_bytes(shape, layout) / GIB == pytest.approx(weights_gib, abs=0.1)


@pytest.mark.parametrize("row", MEMORY_ACCOUNTS, ids=lambda row: f"{row.model} {row.name}")
def test_what_vllm_said_of_its_memory_is_met_and_never_overestimated(row: MemoryAccount) -> None:
    memory = account(shape_of(row.model), gpus.get(row.gpu), row.layout, row.utilization)
    if row.weights_gib is not None:
        assert memory.weights_bytes / GIB == pytest.approx(row.weights_gib, rel=0.002)
    if row.kv_gib is not None:
        assert 0.85 * row.kv_gib <= memory.kv_bytes / GIB <= row.kv_gib


def test_an_embedding_is_whole_on_every_rank_of_an_engine_that_does_not_divide_it() -> None:
    layout = Layout(8, expert_parallel=8)
    difference = weights_bytes(BF16, layout, whole_embedding=True) - weights_bytes(BF16, layout)
    assert difference == pytest.approx(BF16.vocabulary * BF16.hidden * 2 * 7 / 8, rel=1e-6)
    tied = catalogue.get("SmolLM2-135M-Instruct")
    assert weights_bytes(tied, Layout(3), whole_embedding=True) == weights_bytes(tied, Layout(3))


def test_key_value_heads_are_repeated_beyond_their_number() -> None:
    h100 = gpus.get("h100-80gb")
    by_8, by_16 = (account(BF16, h100, Layout(ranks)).kv_bytes_per_token for ranks in (8, 16))
    assert by_8 == by_16 == BF16.kv_bytes_per_token // 8


def test_a_stage_of_a_pipeline_holds_its_layers_and_one_end() -> None:
    shape = catalogue.get("Qwen2.5-Coder-32B-Instruct")
    ends = 2 * shape.vocabulary * shape.hidden * 2
    halves = weights_bytes(shape, Layout(1, 2))
    assert halves == pytest.approx((shape.size_bytes - ends) / 2 + ends / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (Layout(8), "moe_intermediate_size 2560 / TP 8 = 320, not a multiple; expert parallelism"),
        (Layout(7), "96 attention heads are not divisible by TP 7"),
        (Layout(12), "8 key/value heads can be neither divided nor repeated over TP 12"),
        (Layout(3, expert_parallel=3), "8 key/value heads"),
        (Layout(1, expert_parallel=7, attention_groups=7), "160 experts are not divisible by EP 7"),
        (Layout(1, 63), "62 layers cannot make 63 stages"),
        (Layout(8, expert_parallel=8), None),
        (Layout(4), None),
        (Layout(4, 2), None),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_divisions_that_the_numbers_forbid(layout: Layout, reason: str | None) -> None:
    refusal = misfit(FP8, layout)
    assert refusal is None if reason is None else reason in str(refusal)


def test_blocks_are_whole_where_matrices_are_merged() -> None:
    narrow = replace(catalogue.get("Qwen2.5-Coder-0.5B-Instruct"), heads=16, fp8_block=128)  # 2 kv heads of 64
    assert misfit(narrow, Layout(1)) is None
    assert "the width of keys and values 128 / TP 2 = 64, not a multiple" in str(misfit(narrow, Layout(2)))
    odd = replace(FP8, moe_intermediate=2500)
    assert "moe_intermediate_size 2500, not a multiple" in str(misfit(odd, Layout(8, expert_parallel=8)))


def test_blocks_bind_only_what_is_quantised() -> None:
    assert misfit(BF16, Layout(8)) is None


def test_candidates_fill_hosts_and_repeat_over_them() -> None:
    for layout in candidates(FP8, Site(8, 3)):
        gpus_of_one = layout.gpus_per_replica
        assert 8 % gpus_of_one == 0 or gpus_of_one % 8 == 0
        assert layout.gpus <= 24
        assert layout.nodes(Site(8, 3)) <= 3


def test_a_gpu_is_found_without_its_memory_unless_there_are_two() -> None:
    assert gpus.get("H200").name == "h200-141gb"
    assert gpus.get("rtx-4090").name == "rtx4090-24gb"
    with pytest.raises(UsageError, match=r"(?s)two sizes.*a100-40gb or a100-80gb"):
        gpus.get("a100")


def test_an_unknown_gpu_lists_close_names() -> None:
    with pytest.raises(UsageError, match=r"closest names are .*h100-80gb"):
        gpus.get("h100-96gb")


@pytest.mark.parametrize("gpu", gpus.GPUS, ids=lambda gpu: gpu.name)
def test_every_figure_of_a_gpu_has_a_source(gpu: gpus.Gpu) -> None:
    assert gpu.source
    assert gpu.memory_source
    card = re.search(r"-(\d+)gb$", gpu.name)
    stated = int(card[1]) if card else 16
    assert 0.9 * stated < gpu.usable_bytes / GIB <= stated, "what a process gets is less than what the card is sold for"
