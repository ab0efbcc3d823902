"""Alternatives that fit: the wish with as little changed as possible, planned for real before it is named."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from qwen_runtime.errors import PlanError
from qwen_runtime.plan import planner
from qwen_runtime.plan.planner import Plan
from qwen_runtime.plan.request import LARGEST_SITE, Request
from qwen_runtime.sizing import catalogue
from qwen_runtime.sizing.gpus import GPUS, Gpu, as_computed
from qwen_runtime.sizing.layout import Site
from qwen_runtime.units import GIGA, count, gib

NODES = (2, 3, 4, 6, 8, 12, 16)
GPUS_PER_NODE = (2, 4, 8)
SHORTEST_CONTEXT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Alternative:
    changed: tuple[str, ...]
    """Options that differ from the wish, without their dashes: quantization, nodes, gpus-per-node, gpu, context,
    layout."""
    plan: Plan

    @property
    def command(self) -> str:
        return shlex.join(["qwen-runtime", "plan", *self.plan.request.command()])

    @property
    def summary(self) -> str:
        """The changes, each with its new value, and the layout that they give."""
        request = self.plan.request
        values = {
            "quantization": f"{request.shape.quantization} ({request.shape.name})",
            "nodes": str(request.site.nodes),
            "gpus-per-node": str(request.site.gpus_per_node),
            "gpu": request.gpu.name,
            "context": f"{count(request.wishes.context_tokens)} tokens",
            "layout": repr(request.layout),
        }
        changes = ", ".join(f"--{option} {values[option]}" for option in self.changed)
        return f"{changes} as {self.plan.best.layout.name}"


def alternatives(request: Request) -> list[Alternative]:
    """Plans that fit, nearest first: one for each single thing to change or, where none is enough, the first of those
    that change several. Empty only where nothing in the catalogues holds the model."""
    if request.layout is not None:
        request = replace(request, layout=None)
        free = planner.plan(request)
        if free.fits:
            named = planner.plan(replace(request, layout=free.best.layout.name))
            return [Alternative(("layout",), named)]
    fitting: list[Alternative] = []
    seen: set[tuple[str, ...]] = set()
    for changed, wish in _wishes(request):
        if changed in seen or (len(changed) > 1 and fitting):
            continue
        plan = planner.plan(wish)
        if plan.fits:
            seen.add(changed)
            fitting.append(Alternative(changed, plan))
    return fitting


def refusal(plan: Plan, others: list[Alternative]) -> PlanError:
    """The message of a plan that does not fit, the same in every program."""
    request, memory = plan.request, plan.best.memory
    hosts = f"{request.site.nodes} x {request.site.gpus_per_node} {request.gpu.name}"
    model = f"{request.shape.name} ({request.shape.quantization}, {request.shape.size_bytes / GIGA:.1f} GB of weights)"
    needed = "a layout that engine and model allow"
    if memory.missing_bytes:
        least_bytes = (memory.weights_bytes + memory.headroom_bytes) / request.utilization
        needed = f"GPUs that offer more than {gib(least_bytes)}, or more of them"
    elif str(plan.best.refusal).startswith("memory"):
        needed = f"room for the KV cache of {count(request.wishes.context_tokens)} tokens"
    misfit = f"{model} does not fit {hosts}: at best {plan.best.layout.name}, {plan.best.refusal}"
    return PlanError(misfit, needed, _remedy(others))


def _remedy(others: list[Alternative]) -> str:
    if not others:
        return "Nothing in the catalogues holds it: plan a smaller model."
    first, *rest = others
    also = "".join(f"; or {other.summary}" for other in rest)
    return f"The nearest plan that fits: {first.summary}{also}. In full: {first.command}"


def _wishes(request: Request) -> Iterator[tuple[tuple[str, ...], Request]]:
    """Changed requests, those that cost least first."""
    forms = list(_forms(request))
    for shape_request in forms:
        yield ("quantization",), shape_request
    for nodes in _more_nodes(request):
        yield ("nodes",), _with_site(request, request.site.gpus_per_node, nodes)
    for gpus in _more_gpus(request):
        yield ("gpus-per-node",), _with_site(request, gpus, request.site.nodes)
    for gpu in _larger(request.gpu):
        yield ("gpu",), _with_gpu(request, gpu)
    yield from _shorter(request)
    yield from sorted(_combinations(request, forms), key=_cost)


def _combinations(request: Request, forms: list[Request]) -> Iterator[tuple[tuple[str, ...], Request]]:
    """Several things changed at once."""
    for start in [request, *forms]:
        for gpu in [start.gpu, *_larger(start.gpu)]:
            other = start if gpu is start.gpu else _with_gpu(start, gpu)
            for gpus in [start.site.gpus_per_node, *_more_gpus(other)]:
                for nodes in [start.site.nodes, *_more_nodes(_with_site(other, gpus, start.site.nodes))]:
                    wish = _with_site(other, gpus, nodes)
                    changed = _changes(request, wish)
                    if len(changed) > 1:
                        yield changed, wish


def _cost(change: tuple[tuple[str, ...], Request]) -> tuple[int, int, int]:
    """The order of changes: hosts count first, then GPUs, then their size."""
    _, wish = change
    return wish.site.nodes, wish.site.gpus, wish.gpu.usable_bytes


def _changes(request: Request, wish: Request) -> tuple[str, ...]:
    differs = {
        "quantization": wish.shape.quantization != request.shape.quantization,
        "gpus-per-node": wish.site.gpus_per_node != request.site.gpus_per_node,
        "gpu": wish.gpu != request.gpu,
        "nodes": wish.site.nodes != request.site.nodes,
    }
    return tuple(option for option, changed in differs.items() if changed)


def _forms(request: Request) -> Iterator[Request]:
    """The same model in the other published form: smaller or, where the hardware forbids this one, larger."""
    other = "fp8" if request.shape.quantization == "bf16" else "bf16"
    twin = catalogue.twin(request.shape, other)
    if twin:
        twin = replace(twin, kv_number_bytes=request.shape.kv_number_bytes)
        yield replace(request, shape=as_computed(twin, request.gpu))


def _more_nodes(request: Request) -> list[int]:
    site = request.site
    return [nodes for nodes in NODES if nodes > site.nodes and nodes * site.gpus_per_node <= LARGEST_SITE]


def _more_gpus(request: Request) -> list[int]:
    if request.gpu.vendor == "cpu":
        return []
    return [gpus for gpus in GPUS_PER_NODE if gpus > request.site.gpus_per_node]


def _larger(gpu: Gpu) -> list[Gpu]:
    """Larger GPUs of the same vendor (NVIDIA's for a CPU), smallest first. Of two of one size, one that is not slower
    comes first."""
    vendor = "nvidia" if gpu.vendor == "cpu" else gpu.vendor
    larger = [other for other in GPUS if other.vendor == vendor and other.usable_bytes > gpu.usable_bytes]
    return sorted(larger, key=lambda other: (other.usable_bytes, other.bf16_flops < gpu.bf16_flops))


def _shorter(request: Request) -> Iterator[tuple[tuple[str, ...], Request]]:
    """A context that the KV cache holds, where only the context was too long."""
    held = max((c.memory.kv_tokens for c in planner.consider(request, request.engine) if c.refusal), default=0)
    wishes = request.wishes
    context = held // 1024 * 1024
    shortest = max(SHORTEST_CONTEXT_TOKENS, wishes.input_tokens + wishes.output_tokens)
    if shortest <= context < wishes.context_tokens:
        yield ("context",), replace(request, wishes=replace(wishes, context_tokens=context))


def _with_site(request: Request, gpus_per_node: int, nodes: int) -> Request:
    return replace(request, site=Site(gpus_per_node, nodes))


def _with_gpu(request: Request, gpu: Gpu) -> Request:
    return request.on(gpu)
