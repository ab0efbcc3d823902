"""Predictions behave as a server does."""

from __future__ import annotations

import pytest
from qwen_runtime.plan import build, make, plan
from qwen_runtime.plan.roofline import Roofline
from qwen_runtime.sizing import catalogue, gpus
from qwen_runtime.sizing.layout import Layout

FLAGSHIP = catalogue.get("Qwen3-Coder-480B-A35B-Instruct-FP8")
H100 = gpus.get("h100-80gb")


def test_more_users_give_more_tokens_and_wait_longer() -> None:
    roofline = Roofline(FLAGSHIP, H100, Layout(8, expert_parallel=8))
    predictions = [roofline.predict(users, 1000, 1000, 150) for users in (1, 2, 4, 8, 16, 32, 64, 128)]
    rates = [prediction.output_tokens_per_s for prediction in predictions]
    assert rates == sorted(rates)
    assert [p.inter_token_s for p in predictions] == sorted(p.inter_token_s for p in predictions)
    assert [p.ttft_s for p in predictions] == sorted(p.ttft_s for p in predictions)


def test_what_the_cache_cannot_hold_waits_before_its_first_token() -> None:
    roofline = Roofline(FLAGSHIP, H100, Layout(8, expert_parallel=8))
    held, queued = (roofline.predict(64, 1000, 1000, capacity) for capacity in (64, 32))
    assert queued.running == 32
    assert queued.ttft_s > 10 * held.ttft_s


def test_no_prediction_beats_the_memory_bandwidth() -> None:
    layout = Layout(1)
    shape = catalogue.get("Qwen2.5-Coder-7B-Instruct")
    one = Roofline(shape, H100, layout).predict(1, 1000, 1000, 8)
    assert one.inter_token_s > shape.size_bytes / H100.bandwidth_bytes_per_s * 0.9


def test_each_request_costs_a_processor_its_arithmetic_beside_the_reading_of_the_weights() -> None:
    shape = catalogue.get("Qwen2.5-Coder-7B-Instruct")
    for hardware, share in ((gpus.get("cpu"), 1.0), (H100, 0.0)):
        roofline = Roofline(shape, hardware, Layout(1))
        one, eight = (roofline.step_s(requests, 100) for requests in (1, 8))
        arithmetic_s = 7 * roofline.work(1, 100).flops / hardware.bf16_flops
        assert (eight - one) / arithmetic_s == pytest.approx(share, abs=0.3), hardware.name


def test_stages_that_wait_for_one_another_give_fewer_tokens_than_those_that_overlap() -> None:
    shape = catalogue.get("Qwen2.5-Coder-7B-Instruct")
    overlapping, waiting = (
        Roofline(shape, H100, Layout(1, 4), stages_overlap=overlap).predict(64, 1000, 1000, 64)
        for overlap in (True, False)
    )
    assert waiting.output_tokens_per_s < overlapping.output_tokens_per_s
    one = Roofline(shape, H100, Layout(1)).predict(64, 1000, 1000, 64)
    assert waiting.output_tokens_per_s == one.output_tokens_per_s, "all layers follow one another, as on one GPU"


def test_replicas_multiply_the_rate_of_one() -> None:
    shape = catalogue.get("Qwen2.5-Coder-7B-Instruct")
    alone = Roofline(shape, H100, Layout(1)).predict(4, 1000, 1000, 64)
    four = Roofline(shape, H100, Layout(1, replicas=4)).predict(16, 1000, 1000, 64)
    assert four.output_tokens_per_s == pytest.approx(4 * alone.output_tokens_per_s)
    assert four.output_tokens_per_s_per_gpu == pytest.approx(alone.output_tokens_per_s_per_gpu)


def test_drafts_help_one_user_more_than_many_and_are_told_with_their_source() -> None:
    wishes = {"model": "Qwen3-Coder-480B-A35B-Instruct-FP8", "gpu": "h100-80gb", "gpus_per_node": 8}
    plain, drafted = (plan(make(**wishes, speculative=method)) for method in (None, "eagle3"))  # type: ignore[arg-type]
    gains = [
        before.inter_token_s / after.inter_token_s
        for before, after in zip(plain.predicted, drafted.predicted, strict=True)
        if before.concurrency in (1, 32)
    ]
    assert gains == pytest.approx([1.37, 1.10])
    assert drafted.launch == plain.launch
    assert any("eagle3" in text and "https://" in text for text in build(drafted)["warnings"])
