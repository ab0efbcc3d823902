"""Keys and values in FP8 and in host memory: what they give, what they cost, and where they cannot be."""

from __future__ import annotations

import pytest
from qwen_runtime.plan import Plan, build, make, people, plan

FP8 = "Qwen3-Coder-480B-A35B-Instruct-FP8"
SMALL = "Qwen3-Coder-30B-A3B-Instruct-FP8"
GIB = 2**30


def draw(gpu: str = "h100-80gb", model: str = FP8, **wishes: object) -> Plan:
    return plan(make(model=model, gpu=gpu, gpus_per_node=8, **wishes))  # type: ignore[arg-type]


def test_a_cache_in_fp8_holds_twice_the_tokens_and_is_asked_for() -> None:
    plain, small = draw(), draw(kv_cache_dtype="fp8")
    assert small.best.memory.kv_tokens == pytest.approx(2 * plain.best.memory.kv_tokens, rel=0.001)
    words = small.launch["vllm"]
    assert words[words.index("--kv-cache-dtype") + 1] == "fp8"
    assert "--kv-cache-dtype" not in plain.launch["vllm"]


def test_a_cache_in_fp8_says_what_it_costs() -> None:
    assert any("On Hopper" in warning for warning in build(draw(kv_cache_dtype="fp8"))["warnings"])
    assert not any("On Hopper" in warning for warning in build(draw())["warnings"])


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"gpu": "a100-80gb", "kv_cache_dtype": "fp8"}, "needs compute capability 8.9"),
        ({"engine": "transformers", "model": SMALL, "kv_cache_dtype": "fp8"}, "keys and values in bf16 only"),
        ({"engine": "transformers", "model": SMALL, "offload_gib": 64}, "no keys and values in host memory"),
        ({"model": SMALL, "offload_gib": 4}, "less than 1 GiB for each engine of a host"),
    ],
)
def test_what_no_kernel_or_engine_does_is_refused(wishes: dict[str, object], reason: str) -> None:
    assert any(reason in str(candidate.refusal) for candidate in draw(**wishes).considered)  # type: ignore[arg-type]


def test_drafts_are_not_planned_on_a_cpu() -> None:
    drawn = plan(
        make(model="SmolLM2-135M-Instruct", gpu="cpu", gpus_per_node=1, context_tokens=2048, speculative="eagle3")
    )
    assert not drawn.fits
    assert "answers without sense" in build(drawn)["reason"]


def test_no_cache_is_pushed_out_to_several_hosts() -> None:
    result = draw(model="Qwen3-Coder-480B-A35B-Instruct", nodes=2, offload_gib=512)
    assert not result.fits
    assert {c.refusal for c in result.considered if c.layout.gpus_per_replica == 16} == {
        "vLLM keeps what a KV cache pushes out in the memory of one host, not of several"
    }


@pytest.mark.parametrize(("model", "engines"), [(FP8, 1), (SMALL, 8)])
def test_the_hosts_memory_is_shared_by_its_engines_and_counted_for_pods_and_hosts(model: str, engines: int) -> None:
    plain, large = build(draw(model=model)), build(draw(model=model, offload_gib=512))
    words = large["launch"]["vllm"]
    assert words[words.index("--kv-offloading-size") + 1] == str(512 // engines)
    for key in ("memory_request", "memory_limit", "shared_memory"):
        sizes = [int(document["kubernetes"][key].removesuffix("Gi")) for document in (plain, large)]
        assert sizes[1] - sizes[0] == 512 // engines, key
    assert large["host"]["memory_bytes"] - plain["host"]["memory_bytes"] == 512 * GIB
    assert large["memory"]["offloaded_tokens"] == 512 // engines * GIB // plain["memory"]["kv_bytes_per_token"]


def test_host_memory_keeps_the_prefixes_of_turns_that_are_far_apart() -> None:
    def cached(offload_gib: int) -> float:
        wish = make(model=FP8, gpu="h100-80gb", gpus_per_node=8, developers=200, wait_s=120.0, offload_gib=offload_gib)
        hour = people.size(wish, 6).hour
        assert hour
        return hour.cached_share

    assert cached(0) < 0.5 < 0.8 < cached(1024)
