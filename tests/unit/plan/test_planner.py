"""Plans keep their promises for any model and site, and the cases that users get wrong come out right."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qwen_runtime.cli import build_parser
from qwen_runtime.errors import UsageError
from qwen_runtime.plan import Plan, Request, make, nearest, plan
from qwen_runtime.plan.request import Wishes
from qwen_runtime.sizing import gpus
from qwen_runtime.sizing.catalogue import known
from qwen_runtime.sizing.layout import Layout, Site
from qwen_runtime.sizing.shape import Shape

CODER, FP8 = "Qwen3-Coder-480B-A35B-Instruct", "Qwen3-Coder-480B-A35B-Instruct-FP8"


def draw(model: str, gpu: str, gpus_per_node: int = 8, nodes: int = 1, **wishes: object) -> Plan:
    return plan(make(model=model, gpu=gpu, gpus_per_node=gpus_per_node, nodes=nodes, **wishes))  # type: ignore[arg-type]


def refusal_of(result: Plan, layout: Layout) -> str:
    [refusal] = [c.refusal for c in result.considered if replace(c.layout, replicas=1) == layout]
    return str(refusal)


def test_fp8_on_eight_80_gb_gpus_is_tensor_and_expert_parallel() -> None:
    result = draw(FP8, "h100-80gb")
    assert result.best.layout == Layout(8, expert_parallel=8)
    command = " ".join(result.launch["vllm"])
    assert command.startswith(
        "--tensor-parallel-size 8 --enable-expert-parallel --dtype bfloat16 --max-model-len 65536"
    )
    assert command.endswith("--gpu-memory-utilization 0.9 --enable-auto-tool-choice --tool-call-parser qwen3_coder")


@pytest.mark.parametrize("users", [1, 16, 64, 256])
def test_the_flagships_layout_does_not_hang_on_the_load(users: int) -> None:
    assert draw(FP8, "h100-80gb", concurrency=users).best.layout == Layout(8, expert_parallel=8)


def test_a_layout_that_is_slow_for_one_user_is_not_taken_because_one_request_more_fits() -> None:
    result = draw(FP8, "h100-80gb", context_tokens=131072, input_tokens=60_000, output_tokens=1000, concurrency=40)
    [staged] = [c for c in result.considered if c.layout == Layout(4, 2)]
    assert staged.output_tokens_per_s > result.best.output_tokens_per_s, "more users fit in stages"
    assert result.best.layout == Layout(8, expert_parallel=8)


def test_the_layout_that_is_asked_for_is_taken_whatever_its_speed() -> None:
    result = draw(FP8, "h100-80gb", layout="tp4xpp2")
    assert result.best.layout == Layout(4, 2)
    assert "--pipeline-parallel-size 2" in " ".join(result.launch["vllm"])
    refused = draw(FP8, "h100-80gb", layout="TP8")
    assert not refused.fits
    [free] = nearest.alternatives(refused.request)
    assert (free.changed, free.plan.best.layout) == (("layout",), Layout(8, expert_parallel=8))


def test_spare_hosts_are_counted_and_not_planned_for() -> None:
    result = draw(FP8, "h100-80gb", nodes=4, spare=1)
    assert (result.request.site.nodes, result.best.layout.replicas) == (4, 3)


@pytest.mark.parametrize("prompt", [1000, 60_000])
def test_the_engines_limit_of_requests_does_not_follow_from_the_planned_length(prompt: int) -> None:
    words = draw(FP8, "h100-80gb", context_tokens=131072, input_tokens=prompt).launch["vllm"]
    assert words[words.index("--max-num-seqs") + 1] == "256"


def test_a_model_that_fits_one_gpu_is_repeated_and_not_divided() -> None:
    assert draw("Qwen3-Coder-30B-A3B-Instruct-FP8", "h100-80gb").best.layout == Layout(1, replicas=8)


def test_the_four_ways_that_crash_there_are_refused_with_their_reason() -> None:
    result = draw(FP8, "h100-80gb")
    assert "320, not a multiple" in refusal_of(result, Layout(8))
    recipe = refusal_of(result, Layout(1, expert_parallel=8, attention_groups=8))
    assert "67.5 GiB of weights" in recipe
    assert "111.9 GiB of weights" in refusal_of(draw(CODER, "h100-80gb"), Layout(8))
    assert "tokens of KV cache" in refusal_of(draw(FP8, "h100-80gb"), Layout(2, 1, 8, 4))


def test_bf16_needs_two_hosts_or_larger_gpus() -> None:
    assert not draw(CODER, "h100-80gb").fits
    assert draw(CODER, "h100-80gb", nodes=2).best.layout == Layout(8, 2)
    assert draw(CODER, "h200-141gb").best.layout.nodes_per_replica(Site(8, 1)) == 1


def test_more_hosts_than_one_engine_needs_become_replicas() -> None:
    layout = draw(FP8, "h100-80gb", nodes=3).best.layout
    assert (layout.replicas, layout.data_parallel, layout.gpus_per_replica) == (3, 3, 8)


def test_fp8_saves_memory_only_on_an_a100_and_is_refused_on_a_cpu() -> None:
    from qwen_runtime.plan import document

    result = draw(FP8, "a100-80gb")
    assert result.fits
    assert "weight-only: compute capability 8.0" in document.build(result)["choices"]["quantization"]["reason"]
    small = draw("Qwen3-Coder-30B-A3B-Instruct-FP8", "cpu", 1, memory_gib=256)
    assert {candidate.refusal for candidate in small.considered} == {
        "FP8 needs a GPU: CPUs have no arithmetic in FP8 and no kernel that unpacks its blocks; plan bf16"
    }
    assert nearest.alternatives(small.request)[0].changed == ("quantization",)


def test_the_nearest_fit_of_bf16_is_the_fp8_checkpoint_then_another_host_then_larger_gpus() -> None:
    alternatives = nearest.alternatives(draw(CODER, "h100-80gb").request)
    assert [other.changed for other in alternatives] == [("quantization",), ("nodes",), ("gpu",)]
    assert alternatives[0].plan.request.shape.name == FP8
    assert alternatives[1].plan.request.site == Site(8, 2)
    assert alternatives[2].plan.request.gpu.name == "h200-141gb"


def test_a_context_that_is_too_long_is_shortened_where_nothing_else_is_wrong() -> None:
    result = draw("Qwen2.5-Coder-7B-Instruct", "rtx4090-24gb", 1, context_tokens=32768, memory_gib=22)
    assert not result.fits
    [shorter] = [other for other in nearest.alternatives(result.request) if other.changed == ("context",)]
    assert 4096 <= shorter.plan.request.wishes.context_tokens < 32768


def test_several_things_are_changed_where_no_single_one_is_enough() -> None:
    alternatives = nearest.alternatives(draw(CODER, "l40s-48gb", 1).request)
    assert [(other.changed, other.plan.fits) for other in alternatives] == [
        (("quantization", "gpus-per-node", "gpu"), True)
    ]


def test_other_engines_get_the_layouts_that_they_take() -> None:
    result = draw(CODER, "h200-141gb")
    assert result.launch["deepspeed"][:4] == ["--engine", "deepspeed", "--stages", "8"]
    assert result.launch["transformers"][:3] == ["--tp-size", "8", "--dtype"]
    assert "449.1 GiB of weights" in draw(FP8, "h100-80gb").unusable["transformers"]
    small = draw("Qwen2.5-Coder-0.5B-Instruct", "h200-141gb", 1, context_tokens=32768)
    assert small.launch["transformers"][:2] == ["--dtype", "bfloat16"]
    assert "bf16 only" in draw(FP8, "h100-80gb").unusable["deepspeed"]
    assert "unpacks FP8 to bf16" in draw(FP8, "a100-80gb", context_tokens=65536).unusable["transformers"]


@pytest.mark.parametrize(
    ("engine", "gpu", "layout", "reason"),
    [
        ("vllm", "cpu", Layout(2, expert_parallel=2), "dies at the first request with expert parallelism"),
        ("vllm", "cpu", Layout(1, pipeline_parallel=2), "dies at the first request with pipeline stages"),
        ("transformers", "h100-80gb", Layout(2, pipeline_parallel=2), "by its layers or within each of them, not both"),
        ("transformers", "h100-80gb", Layout(2, 1, 4, 2), "shares experts among all ranks that share the layers"),
        ("deepspeed", "h100-80gb", Layout(2), "AutoTP leaves experts whole on every rank"),
    ],
)
def test_layouts_that_an_engine_has_failed_with_are_refused(engine: str, gpu: str, layout: Layout, reason: str) -> None:
    result = draw("Qwen3-Coder-30B-A3B-Instruct", gpu, 4, engine=engine, memory_gib=79)
    assert reason in refusal_of(result, layout)


def test_a_planned_engine_keeps_its_limits() -> None:
    result = draw(CODER, "h200-141gb", engine="deepspeed")
    assert result.best.layout == Layout(1, 8)
    assert not draw(CODER, "h100-80gb", nodes=2, engine="transformers").fits


def test_a_cpu_is_given_whole_gibibytes_of_kv_cache() -> None:
    result = draw("SmolLM2-135M-Instruct", "cpu", 1, context_tokens=2048, memory_gib=6.5)
    assert result.best.memory.kv_bytes == 3 * 2**30
    assert not draw("SmolLM2-135M-Instruct", "cpu", 1, context_tokens=2048, memory_gib=3.5).fits


def test_targets_are_said_to_hold_only_where_the_prediction_says_so() -> None:
    held = draw(FP8, "h100-80gb").target
    assert held is not None
    assert held.holds
    assert held.concurrency is not None
    hasty = draw(FP8, "h100-80gb", latency_s=0.001).target
    assert hasty is not None
    assert not hasty.holds
    assert "more than 1 ms" in hasty.reason
    greedy = draw(FP8, "h100-80gb", tokens_per_s_per_gpu=5000.0).target
    assert greedy is not None
    assert "cannot hold" in greedy.reason


def test_a_short_context_shortens_the_usual_request() -> None:
    wishes = draw("SmolLM2-135M-Instruct", "cpu", 1, context_tokens=1024).request.wishes
    assert (wishes.input_tokens, wishes.output_tokens) == (512, 512)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context_tokens": 300_000}, "--context 300000\nneeded: at most 262144 tokens"),
        ({"input_tokens": 65_000, "output_tokens": 1000}, "--input-tokens 65000 and --output-tokens 1000"),
        ({"nodes": 2, "spare": 2}, "--spare 2 of --nodes 2\nneeded: at least one host that serves"),
        ({"layout": "TP3"}, "--layout TP3\nneeded: one of TP1, "),
        ({"nodes": 1000}, "8000 GPUs\nneeded: at most 4096"),
        ({"model": "Qwen2.5-Coder-7B-Instruct", "quantization": "fp8"}, "--quantization fp8 of Qwen2.5-Coder-7B"),
        ({"model": "gpt-9"}, "model 'gpt-9' is not known"),
        ({"gpu": "tpu"}, "GPU 'tpu' is not known"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    wish: dict[str, object] = {"model": FP8, "gpu": "h100-80gb", "gpus_per_node": 8, **options}
    with pytest.raises(UsageError) as caught:
        make(**wish)  # type: ignore[arg-type]
    assert message in str(caught.value)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Models of any size, with and without experts, in both forms."""
    head_dim = draw(st.sampled_from([64, 128]))
    kv_heads = draw(st.sampled_from([1, 2, 3, 4, 8]))
    heads = kv_heads * draw(st.integers(1, 12))
    sparse = draw(st.booleans())
    return Shape(
        name="any",
        family="qwen3_moe" if sparse else "qwen2",
        layers=draw(st.integers(1, 80)),
        hidden=draw(st.sampled_from([512, 2048, 6144])),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=draw(st.sampled_from([32000, 151936])),
        context_tokens=32768,
        intermediate=draw(st.sampled_from([1536, 5632, 27648])),
        tied=draw(st.booleans()),
        experts=draw(st.sampled_from([8, 60, 160])) if sparse else 0,
        experts_per_token=4 if sparse else 0,
        moe_intermediate=draw(st.sampled_from([768, 1408, 2560])) if sparse else 0,
        fp8_block=draw(st.sampled_from([None, 128])),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    site = Site(draw(st.sampled_from([1, 2, 4, 6, 8])), draw(st.integers(1, 4)))
    context = draw(st.sampled_from([4096, 32768]))
    wishes = Wishes(context, concurrency=draw(st.sampled_from([1, 16, 300])))
    return Request("any", draw(shapes()), draw(st.sampled_from(gpus.GPUS)), site, wishes)


@settings(max_examples=150, deadline=None)
@given(requests())
def test_every_accepted_layout_can_be_run_and_held(request: Request) -> None:
    shape, site = request.shape, request.site
    for candidate in plan(request).considered:
        if candidate.refusal is not None:
            continue
        layout, memory = candidate.layout, candidate.memory
        tensor = layout.tensor_parallel
        assert layout.gpus <= site.gpus
        assert site.gpus_per_node % tensor == 0, "ranks that agree twice a layer share a host"
        assert shape.heads % tensor == 0
        assert shape.kv_heads % tensor == 0 or tensor % shape.kv_heads == 0
        assert layout.pipeline_parallel <= shape.layers
        assert shape.experts % layout.expert_parallel == 0
        if shape.fp8_block:
            experts_width = shape.moe_intermediate if layout.expert_parallel > 1 else shape.moe_intermediate / tensor
            kv_width = shape.kv_heads * shape.head_dim / min(tensor, shape.kv_heads)
            mlp_width = 0 if shape.experts else shape.intermediate / tensor
            for width in (shape.heads * shape.head_dim / tensor, kv_width, experts_width, mlp_width):
                assert width % shape.fp8_block == 0
        used = memory.weights_bytes + memory.headroom_bytes
        used += request.wishes.context_tokens * memory.kv_bytes_per_token
        assert used <= request.gpu.usable_bytes * request.utilization
        assert candidate.output_tokens_per_s > 0


@settings(max_examples=100, deadline=None)
@given(requests(), st.floats(1.0, 4.0))
def test_more_memory_never_takes_a_fit_away(request: Request, factor: float) -> None:
    larger = replace(request, gpu=replace(request.gpu, usable_bytes=int(request.gpu.usable_bytes * factor)))
    for before, after in zip(plan(request).considered, plan(larger).considered, strict=True):
        assert before.layout == after.layout
        assert before.refusal is not None or after.refusal is None
        assert after.memory.kv_tokens >= before.memory.kv_tokens


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(known())),
    st.sampled_from(gpus.GPUS),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 2),
)
def test_what_is_named_as_a_fit_fits_when_its_own_arguments_are_planned(
    model: str, gpu: gpus.Gpu, gpus_per_node: int, nodes: int
) -> None:
    result = draw(model, gpu.name, gpus_per_node, nodes)
    others = [] if result.fits else nearest.alternatives(result.request)
    assert result.fits or others, "the catalogue holds hardware for every model of the catalogue"
    for other in others:
        options = build_parser().parse_args(["plan", *other.plan.request.command()])
        again = draw(
            options.model,
            options.gpu,
            options.gpus_per_node,
            options.nodes,
            quantization=options.quantization,
            context_tokens=options.context,
        )
        assert again.fits
        assert again.best.layout == other.plan.best.layout
