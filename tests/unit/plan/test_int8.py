"""Weights in INT8 on a processor: advised where they gain, planned by their own bytes and rates, refused elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from qwen_runtime.plan import Plan, build, make, plan
from qwen_runtime.plan.int8 import RECIPE
from qwen_runtime.plan.roofline import Roofline
from qwen_runtime.sizing import catalogue, gpus
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.units import GIGA

CODER = "Qwen2.5-Coder-1.5B-Instruct"
PAGE = Path(__file__).parents[3] / "docs" / "quantization.md"


def draw(model: str = CODER, gpu: str = "cpu", **wishes: object) -> Plan:
    return plan(make(model=model, gpu=gpu, gpus_per_node=1, context_tokens=2048, **wishes))  # type: ignore[arg-type]


def reason(drawn: Plan) -> str:
    return str(build(drawn)["choices"]["quantization"]["reason"])


def test_the_advice_is_what_the_plan_of_such_weights_predicts() -> None:
    plain, small = draw(), draw(quantization="int8")
    [(alone, together)] = re.findall(r"INT8 weights would give ([\d.]+) x .* and ([\d.]+) x at 16", reason(plain))
    for told, users in ((alone, 1), (together, 16)):
        rates = [
            next(one.output_tokens_per_s for one in drawn.predicted if one.concurrency == users)
            for drawn in (small, plain)
        ]
        assert float(told) == pytest.approx(rates[0] / rates[1], abs=0.01)
    assert float(alone) > 1.1
    assert "Plan them with --quantization int8" in reason(plain)
    assert RECIPE in reason(plain)


@pytest.mark.parametrize(
    ("model", "gpu"), [(CODER, "h100-80gb"), (CODER, "cpu-float32"), ("Qwen3-Coder-30B-A3B-Instruct", "cpu")]
)
def test_no_advice_where_nothing_was_measured(model: str, gpu: str) -> None:
    assert "INT8" not in reason(draw(model, gpu, memory_gib=80))


def test_a_gain_within_the_error_of_predictions_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(gpus.get("cpu"), int8=gpus.Int8(bandwidth_share=0.44, flops=650e9))
    monkeypatch.setattr(gpus, "get", lambda name: slow)
    assert "not worth another checkpoint" in reason(draw())


def test_a_plan_of_int8_counts_its_bytes_and_leaves_other_engines_out() -> None:
    plain, small = draw(), draw(quantization="int8")
    assert small.request.shape.name == f"{CODER}-W8A8"
    assert small.request.shape.size_bytes < 0.6 * plain.request.shape.size_bytes
    assert "INT8 with a scale a row" in reason(small)
    assert set(small.unusable) == {"transformers", "deepspeed"}


def test_int8_on_a_gpu_is_refused_and_bf16_named() -> None:
    document = build(draw(gpu="h100-80gb", quantization="int8"))
    assert not document["fits"]
    assert "speed was measured nowhere else" in document["reason"]
    assert document["nearest_fit"]["changed"] == ["quantization"]


@pytest.mark.parametrize(("streams", "measured"), [(1, 6.7), (8, 37.1), (32, 56.9)])
def test_what_was_measured_is_predicted_within_a_sixth(streams: int, measured: float) -> None:
    shape = replace(catalogue.get(CODER), tied=False, int8=True)  # the measured one has a last layer of its own
    processor = replace(gpus.get("cpu"), bandwidth_bytes_per_s=23.3 * GIGA)
    predicted = Roofline(shape, processor, Layout(1)).predict(streams, 84, 64, 64)
    assert predicted.output_tokens_per_s == pytest.approx(measured, rel=1 / 6)


def test_the_page_makes_them_by_the_same_recipe() -> None:
    assert RECIPE in " ".join(PAGE.read_text().split())
