"""The document of a plan, which other programs read. Sizes in bytes, times in seconds, names in snake_case."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from qwen_runtime.engine.registry import ENGINES
from qwen_runtime.errors import one_line
from qwen_runtime.plan import cache, int8, kubernetes, nearest, planner, speculation, team
from qwen_runtime.plan.nearest import Alternative
from qwen_runtime.plan.people import Sized
from qwen_runtime.plan.planner import Candidate, Plan
from qwen_runtime.plan.request import USUAL_TOKENS, Request
from qwen_runtime.plan.roofline import Prediction
from qwen_runtime.sizing.gpus import attention, dtype_reason, weight_only
from qwen_runtime.sizing.layout import Layout, Site
from qwen_runtime.sizing.memory import BATCHED_TOKENS, MAX_SEQUENCES, Memory, headroom_parts
from qwen_runtime.units import count

FORMAT = 1
SEQUENCE_LENGTHS = (8192, 32768, 131072)


def build(plan: Plan, sized: Sized | None = None) -> dict[str, Any]:
    """The whole document of a plan; `sized` is the team that its hosts are for.

    Where the plan does not fit, `layout` and `memory` are those of the nearest miss, and the keys that only a plan that
    fits has are empty.
    """
    request = plan.request
    shape = request.shape
    others = [] if plan.fits else nearest.alternatives(request)
    error = None if plan.fits else nearest.refusal(plan, others)
    return {
        "format": FORMAT,
        "fits": plan.fits,
        "reason": one_line(error.found, error.needed, error.remedy) if error else summary(plan),
        "command": shlex.join(["qwen-runtime", "plan", *request.command(), "--json"]),
        "problem": {"found": error.found, "needed": error.needed, "remedy": error.remedy} if error else None,
        "warnings": warnings(plan, sized),
        "model": {"name": shape.name, "family": shape.family, "context_tokens": shape.context_tokens},
        "hardware": {
            "gpu": request.gpu.name,
            "gpus_per_node": request.site.gpus_per_node,
            "nodes": request.site.nodes,
            "memory_bytes_per_gpu": request.gpu.usable_bytes,
        },
        "wishes": {**asdict(request.wishes), "longest_answer_tokens": request.wishes.uncut_tokens},
        "workload": team.build(sized) if sized else None,
        "parameters": shape.parameters,
        "active_parameters": shape.active_parameters,
        "weights_bytes": shape.size_bytes,
        "parts": {
            part: {"parameters": parameters, "bytes": size_bytes}
            for part, (parameters, size_bytes) in shape.parts().items()
        },
        "layout": layout(plan.best.layout, request.site),
        "memory": memory(plan),
        "choices": choices(plan),
        "max_model_len": request.wishes.context_tokens,
        "predicted": [prediction(one) for one in plan.predicted],
        "roofline": roofline(plan) if plan.predicted else None,
        "target": asdict(plan.target) if plan.target else None,
        "refused": [refused(c, request.site) for c in plan.considered if c.refusal],
        "not_chosen": [not_chosen(c, plan) for c in plan.considered if not c.refusal and c is not plan.best],
        "nearest_fit": alternative(others[0]) if others else None,
        "other_fits": [alternative(other) for other in others[1:]],
        "launch": plan.launch,
        "unusable_engines": plan.unusable,
        "environment": environment(plan) if plan.fits else {},
        "kubernetes": kubernetes.requests(plan) if plan.fits else {},
        "host": kubernetes.host(plan) if plan.fits else {},
    }


def dumps(document: Mapping[str, Any]) -> str:
    """JSON with a line for each key, and for each entry of what is listed: short, and its changes are easy to read."""
    return "{\n" + ",\n".join(f' "{key}": {_lines(value)}' for key, value in document.items()) + "\n}"


def _lines(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in value) + "\n ]"
    return json.dumps(value)


def summary(plan: Plan) -> str:
    request, best = plan.request, plan.best.layout
    hosts = f"{request.site.nodes} x {request.site.gpus_per_node} {request.gpu.name}"
    replicas = f", {best.replicas} replicas" if best.replicas > 1 else ""
    spare = f", {request.spare} of the hosts spare" if request.spare else ""
    return f"{request.shape.name} fits {hosts}: {best.name}{replicas}{spare}"


def layout(chosen: Layout, site: Site) -> dict[str, Any]:
    """The layout. `data_parallel` counts replicas and attention groups: where expert_parallel is larger than
    tensor_parallel, the groups share the experts of one engine."""
    return {
        "name": chosen.name,
        "tensor_parallel": chosen.tensor_parallel,
        "pipeline_parallel": chosen.pipeline_parallel,
        "expert_parallel": chosen.expert_parallel,
        "data_parallel": chosen.data_parallel,
        "nodes": chosen.nodes(site),
        "replicas": chosen.replicas,
        "gpus_per_replica": chosen.gpus_per_replica,
        "nodes_per_replica": chosen.nodes_per_replica(site),
    }


def memory(plan: Plan) -> dict[str, Any]:
    """The memory. `kv_tokens` is the room of one engine or attention group, and so the longest request; `sequences`
    counts those of the whole site."""
    per_gpu: Memory = plan.best.memory
    engines_at_site = plan.best.layout.data_parallel
    return {
        "usable_bytes_per_gpu": per_gpu.usable_bytes,
        "weights_bytes_per_gpu": per_gpu.weights_bytes,
        "headroom_bytes_per_gpu": per_gpu.headroom_bytes,
        "headroom_parts_per_gpu": headroom_parts(plan.request.shape, plan.request.gpu, plan.best.layout),
        "kv_bytes_per_gpu": per_gpu.kv_bytes,
        "kv_bytes_per_token": plan.request.shape.kv_bytes_per_token,
        "kv_bytes_per_request": plan.request.shape.window_bytes + plan.request.shape.state_bytes,
        "kv_bytes_per_token_per_gpu": per_gpu.kv_bytes_per_token,
        "kv_tokens": per_gpu.kv_tokens,
        "offloaded_tokens": cache.offloaded_tokens(plan.request, plan.best.layout, per_gpu),
        "longest_context_tokens": min(per_gpu.kv_tokens, plan.request.shape.context_tokens),
        "sequences": {
            str(length): per_gpu.requests(length) * engines_at_site
            for length in SEQUENCE_LENGTHS
            if length <= plan.request.shape.context_tokens
        },
    }


def environment(plan: Plan) -> dict[str, str]:
    """Variables for each engine: a plan may start any of those in `launch`, and none minds another one's."""
    decision = planner.decision(plan.request, plan.best)
    return {name: text for engine in ENGINES.values() for name, text in engine.planned.environment(decision).items()}


def choices(plan: Plan) -> dict[str, dict[str, str]]:
    """The decisions, each with its reason."""
    request = plan.request
    implementation, attention_reason = attention(request.gpu)
    return {
        "engine": {"value": request.engine, "reason": ENGINES[request.engine].planned.reason},
        "dtype": {"value": request.shape.dtype, "reason": dtype_reason(request.gpu)},
        "quantization": {"value": request.shape.quantization, "reason": _quantization_reason(plan)},
        "attention": {"value": implementation, "reason": attention_reason},
        "kv_cache": {"value": cache.form(request), "reason": _cache_reason(request)},
        "layout": {"value": plan.best.layout.name, "reason": _layout_reason(plan)},
        "max_sequences": {
            "value": str(MAX_SEQUENCES),
            "reason": "what sampling memory is counted for; a request starts when its whole prompt finds free KV cache",
        },
        "trust_remote_code": {"value": "off", "reason": "the engines know this family; no code comes with weights"},
        "revision": {"value": "manifest.json", "reason": "weights are local files, held to their recorded digests"},
    }


def _cache_reason(request: Request) -> str:
    if cache.in_fp8(request):
        return "asked for with --kv-cache-dtype"
    return "as the model computes; fp8 would have twice the room (--kv-cache-dtype)"


def _quantization_reason(plan: Plan) -> str:
    shape, gpu = plan.request.shape, plan.request.gpu
    if shape.mxfp4:
        return "the checkpoint has its experts in MXFP4, 4.25 bits a number; everything else stays bf16"
    if shape.int8:
        return "the matrices of all layers are in INT8 with a scale a row; embedding, output and norms stay bf16"
    if not shape.fp8_block:
        advice = int8.advice(plan)
        return "the checkpoint is not quantised" + (f"; {advice}" if advice else "")
    if weight_only(shape, gpu):
        return (
            f"weight-only: compute capability {gpu.compute_capability} has no arithmetic in FP8, so weights are "
            "unpacked to bf16 as they are used; half the memory, no faster arithmetic"
        )
    kept = "embedding, output, norms and router stay bf16"
    return f"the checkpoint has its matrices in FP8 blocks of {shape.fp8_block}; {kept}"


def _layout_reason(plan: Plan) -> str:
    if not plan.fits:
        return "the nearest miss"
    fitting = [candidate for candidate in plan.considered if candidate.refusal is None]
    together = f"{plan.best.output_tokens_per_s:.0f} tokens/s predicted at {plan.request.wishes.concurrency} in flight"
    rates = f"{together}, {plan.best.alone_tokens_per_s:.0f} to one user alone"
    if plan.request.layout:
        return f"asked for with --layout: {rates}"
    return f"of {len(fitting)} that fit, the fewest hosts in one engine, among the fastest, the most KV cache: {rates}"


def warnings(plan: Plan, sized: Sized | None = None) -> list[str]:
    """Facts that an operator should know before ordering or deploying."""
    if not plan.fits:
        return []
    team_waits = [sized.why] if sized and not sized.holds else []
    return [*team_waits, *plan.request.shape.remarks, *_of_the_wishes(plan), *_of_the_hardware(plan)]


def _of_the_wishes(plan: Plan) -> Iterator[str]:
    request = plan.request
    wishes, shape = request.wishes, request.shape
    if wishes.context_tokens > shape.unstretched_context_tokens > 0:
        yield (
            f"{wishes.context_tokens} tokens are reached by YaRN; the configuration states "
            f"{shape.unstretched_context_tokens}. Every request runs with it, short ones too. vLLM's own limit is "
            "raised by --hf-overrides"
        )
    if wishes.input_tokens == wishes.output_tokens == USUAL_TOKENS:
        yield (
            f"planned for {count(USUAL_TOKENS)} tokens in and {count(USUAL_TOKENS)} out, which are the defaults. "
            "Coding agents send tens of thousands and get some hundreds: give --developers, or --input-tokens and "
            "--output-tokens"
        )
    held = plan.sequences_per_engine * plan.best.layout.replicas
    if wishes.concurrency > held:
        yield f"{wishes.concurrency} requests in flight are wished for; {held} run, the rest wait"
    if cache.in_fp8(request):
        yield cache.FP8_COST
    if request.speculative:
        yield speculation.warning(request.speculative)
    if warning := ENGINES[request.engine].planned.warning(shape):
        yield warning


def _of_the_hardware(plan: Plan) -> Iterator[str]:
    gpu = plan.request.gpu
    if gpu.by_hand:
        yield f"{gpu.name} can be planned, not installed: its hosts need {gpu.by_hand}"
    if weight_only(plan.request.shape, gpu):
        yield _quantization_reason(plan)
    if not gpu.fast_link and plan.best.layout.gpus_per_replica > 1 and gpu.vendor != "cpu":
        yield f"{gpu.name} has no NVLink: its ranks agree over PCIe"
    if spare := kubernetes.requests(plan)["spare_gpus_for_max_surge"]:
        yield f"a rolling change that starts a new replica first needs {spare} {gpu.name} more than the site has"


def refused(candidate: Candidate, site: Site) -> dict[str, Any]:
    return {"layout": layout(candidate.layout, site), "reason": candidate.refusal}


def not_chosen(candidate: Candidate, plan: Plan) -> dict[str, Any]:
    return {
        "layout": layout(candidate.layout, plan.request.site),
        "kv_tokens": candidate.memory.kv_tokens,
        "output_tokens_per_s": round(candidate.output_tokens_per_s, 1),
        "alone_tokens_per_s": round(candidate.alone_tokens_per_s, 1),
    }


def prediction(predicted: Prediction) -> dict[str, Any]:
    rounded = {key: round(value, 5) for key, value in asdict(predicted).items()}
    likely = {name: [round(low, 5), round(high, 5)] for name, (low, high) in predicted.likely().items()}
    return {**rounded, "output_tokens_per_s_per_user": round(1 / predicted.inter_token_s, 2), "likely": likely}


def roofline(plan: Plan) -> dict[str, Any]:
    """The limits of one GPU, and the steps of this plan: one user's answer, the planned load, a prompt."""
    request, layout = plan.request, plan.best.layout
    wishes, gpu = request.wishes, request.gpu
    speed = planner.roofline(request, layout, request.engine)
    batch = max(1.0, min(wishes.concurrency / layout.replicas, plan.sequences_per_engine))
    context = wishes.input_tokens + wishes.output_tokens / 2
    prompt = min(wishes.input_tokens, BATCHED_TOKENS)
    steps = {
        "an answer to one user": (1, context, 0, 0),
        f"answers to {batch:.0f} in one engine": (batch, context, 0, 0),
        "taking in a prompt": (0, 0, prompt, prompt / 2),
    }
    points = [
        {"what": what, "flops": speed.work(*step).flops, "bytes": speed.work(*step).size_bytes,
         "seconds": speed.step_s(*step)}
        for what, step in steps.items()
    ]  # fmt: skip
    peak = gpu.fp8_flops if request.shape.fp8_block and gpu.fp8_flops else gpu.bf16_flops
    return {"flops_per_s": peak, "bandwidth_bytes_per_s": gpu.bandwidth_bytes_per_s, "points": points}


def alternative(other: Alternative) -> dict[str, Any]:
    request = other.plan.request
    return {
        "changed": list(other.changed),
        "summary": other.summary,
        "arguments": request.command(),
        "command": other.command,
        "model": request.shape.name,
        "layout": layout(other.plan.best.layout, request.site),
        "memory": memory(other.plan),
    }
