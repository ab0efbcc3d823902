"""Requests to the planner: a model, GPUs to plan it for, and wishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qwen_runtime.engine.registry import SERVES_BY_DEFAULT
from qwen_runtime.errors import UsageError
from qwen_runtime.plan.workload import PROFILES, USUAL_PROFILE, Workload, of_team
from qwen_runtime.sizing import catalogue, gpus, processor
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Site, candidates, plain
from qwen_runtime.sizing.memory import UTILIZATION
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.sizing.tensors import FP8_BYTES
from qwen_runtime.units import GIB

DEFAULT_CONTEXT_TOKENS = 65536
USUAL_TOKENS = 1000
"""Default length of a prompt and of an answer. A context that is too short for both has half of it for each."""
LONGEST_ANSWER_TOKENS = 65536
"""Longest answer that Qwen advises to allow (https://huggingface.co/Qwen/Qwen3-Coder-480B-A35B-Instruct)."""
CONCURRENCY = 16
TOKENS_PER_S_PER_GPU = 300.0
LATENCY_S = 0.5
LARGEST_SITE = 4096
"""Most GPUs of a site: larger numbers are more likely a slip than a site."""


@dataclass(frozen=True, slots=True)
class Wishes:
    context_tokens: int
    """Longest prompt and answer together."""
    input_tokens: int = USUAL_TOKENS
    """Tokens of the prompt of a usual request."""
    output_tokens: int = USUAL_TOKENS
    longest_answer_tokens: int | None = None
    """Longest answer that a rollout may not cut; None for the one that Qwen advises."""
    concurrency: int = CONCURRENCY
    """Requests in flight at the whole site."""
    tokens_per_s_per_gpu: float = TOKENS_PER_S_PER_GPU
    latency_s: float = LATENCY_S
    """Time between a request and its first token."""
    cached_share: float = 0.0
    """Share of a usual prompt that is in the prefix cache."""

    @property
    def cached_tokens(self) -> int:
        return int(self.cached_share * self.input_tokens)

    @property
    def uncut_tokens(self) -> int:
        """Longest answer that a rollout may not cut; the context bounds every answer."""
        return min(self.longest_answer_tokens or LONGEST_ANSWER_TOKENS, self.context_tokens)


@dataclass(frozen=True, slots=True)
class Request:
    model: str
    """Name in the catalogue, or a directory, as the user wrote it."""
    shape: Shape
    gpu: Gpu
    site: Site
    wishes: Wishes
    engine: str = SERVES_BY_DEFAULT
    utilization: float = UTILIZATION
    memory_gib: float | None = None
    """Memory of a GPU where it is not the catalogue's."""
    spare: int = 0
    """Hosts of the site that no engine is planned for: a broken host and a rolling change find room there."""
    layout: str | None = None
    """Name of the layout to take, whatever its speed."""
    offload_gib: int = 0
    """Memory of each host in which engines keep what their KV cache pushes out."""
    speculative: str | None = None
    """Method of speculative decoding that predictions count on, a key of speculation.METHODS."""
    workload: Workload | None = None
    """The team whose busy hour decides how many hosts there are, and the other wishes."""

    @property
    def serving(self) -> Site:
        """The hosts that engines are planned for."""
        return Site(self.site.gpus_per_node, self.site.nodes - self.spare)

    def on(self, gpu: Gpu) -> Request:
        """The same request for other GPUs, with their own memory."""
        return replace(self, gpu=gpu, memory_gib=None, shape=gpus.as_computed(self.shape, gpu))

    def command(self) -> list[str]:
        """The arguments of `qwen-runtime plan` that ask for this."""
        w = self.wishes
        values: dict[str, object] = {
            "--model": self.model,
            "--quantization": self.shape.quantization,
            "--gpu": self.gpu.name,
            "--gpus-per-node": self.site.gpus_per_node,
            "--nodes": self.site.nodes,
            "--context": w.context_tokens,
            "--input-tokens": w.input_tokens,
            "--output-tokens": w.output_tokens,
            "--target-latency-ms": w.latency_s * 1000,
            "--engine": self.engine,
            "--gpu-memory-utilization": self.utilization,
        }
        chosen: dict[str, object] = {
            "--longest-answer": w.longest_answer_tokens and w.uncut_tokens,
            "--memory-gib": self.memory_gib,
            "--kv-cache-dtype": "fp8" if self.shape.kv_number_bytes == FP8_BYTES else None,
            "--kv-offload-gib": self.offload_gib or None,
            "--speculative": self.speculative,
            "--spare": self.spare or None,
            "--layout": self.layout,
        }
        if self.workload is None:
            chosen |= {"--concurrency": w.concurrency, "--target-tokens-per-s-per-gpu": w.tokens_per_s_per_gpu}
            chosen |= {"--cached-share": w.cached_share or None}
        else:
            chosen |= {"--cached-share": self.workload.cached_share}
            chosen |= {"--developers": self.workload.developers, "--profile": self.workload.profile}
            chosen |= {"--turns-per-hour": self.workload.turns_per_hour, "--wait-s": self.workload.wait_s}
        values |= {flag: value for flag, value in chosen.items() if value is not None}
        return [word for flag, value in values.items() for word in (flag, _text(value))]


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def make(
    *,
    model: str,
    gpu: str,
    gpus_per_node: int,
    nodes: int | None = None,
    quantization: str | None = None,
    context_tokens: int | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    longest_answer_tokens: int | None = None,
    concurrency: int | None = None,
    tokens_per_s_per_gpu: float | None = None,
    latency_s: float | None = None,
    engine: str = SERVES_BY_DEFAULT,
    utilization: float = UTILIZATION,
    memory_gib: float | None = None,
    spare: int = 0,
    layout: str | None = None,
    kv_cache_dtype: str = "auto",
    offload_gib: int = 0,
    speculative: str | None = None,
    cached_share: float | None = None,
    developers: int | None = None,
    profile: str | None = None,
    turns_per_hour: float | None = None,
    wait_s: float | None = None,
) -> Request:
    """Makes a request from names and numbers, each checked against the others. Raises UsageError.

    With `developers`, what is not given comes from the profile; people.py then finds the number of hosts.
    """
    shape = _in_form(catalogue.get(model), quantization)
    if kv_cache_dtype == "fp8":
        shape = replace(shape, kv_number_bytes=FP8_BYTES)
    chosen = processor.as_planned() if gpu == gpus.THIS_HOST else gpus.get(gpu)
    shape = gpus.as_computed(shape, chosen)
    if memory_gib is not None:
        chosen = replace(chosen, usable_bytes=int(memory_gib * GIB), memory_source="--memory-gib")
    site = _site(gpus_per_node, nodes if nodes is not None else 1 + spare, spare)
    given = {
        "turns_per_hour": turns_per_hour,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cached_share": cached_share,
        "wait_s": wait_s,
        "first_token_s": latency_s,
    }
    if developers is not None and (concurrency or tokens_per_s_per_gpu):
        raise UsageError(
            "--developers with --concurrency or --target-tokens-per-s-per-gpu",
            "one of the two: both follow from the busy hour of so many people",
            "Leave out --developers or the others.",
        )
    workload, usual_context = _workload(developers, profile, given)
    context = context_tokens if context_tokens is not None else min(usual_context, shape.context_tokens)
    if workload:
        lengths = (workload.input_tokens, workload.output_tokens)
        latency_s, cached_share = workload.first_token_s, workload.cached_share
    else:
        usual = min(USUAL_TOKENS, max(1, context // 2))
        lengths = (usual if input_tokens is None else input_tokens, usual if output_tokens is None else output_tokens)
    wishes = Wishes(
        context,
        *lengths,
        longest_answer_tokens,
        concurrency or CONCURRENCY,
        tokens_per_s_per_gpu or TOKENS_PER_S_PER_GPU,
        LATENCY_S if latency_s is None else latency_s,
        cached_share or 0.0,
    )
    _check_lengths(shape, wishes)
    request = Request(
        model,
        shape,
        chosen,
        site,
        wishes,
        engine,
        utilization,
        memory_gib,
        spare,
        None,
        offload_gib,
        speculative,
        workload,
    )
    return replace(request, layout=_layout(request, layout)) if layout else request


def _workload(
    developers: int | None, profile: str | None, given: Mapping[str, float | None]
) -> tuple[Workload | None, int]:
    """The team's workload, and the usual context."""
    if developers is not None:
        name = profile or USUAL_PROFILE
        return of_team(developers, name, given), PROFILES[name].context_tokens
    if profile is not None or given["turns_per_hour"] is not None or given["wait_s"] is not None:
        raise UsageError(
            "--profile, --turns-per-hour or --wait-s without --developers",
            "the number of developers, of whom they say what each sends",
            "Add --developers, or leave them out.",
        )
    return None, DEFAULT_CONTEXT_TOKENS


def _site(gpus_per_node: int, nodes: int, spare: int) -> Site:
    site = Site(gpus_per_node, nodes)
    if site.gpus > LARGEST_SITE:
        raise UsageError(
            f"--nodes {nodes} of --gpus-per-node {gpus_per_node} are {site.gpus} GPUs",
            f"at most {LARGEST_SITE}",
            "Plan one pool of hosts that serve one model.",
        )
    if spare >= nodes:
        raise UsageError(
            f"--spare {spare} of --nodes {nodes}", "at least one host that serves", "Lower the one or raise the other."
        )
    return site


def _check_lengths(shape: Shape, wishes: Wishes) -> None:
    if wishes.context_tokens > shape.context_tokens:
        raise UsageError(
            f"--context {wishes.context_tokens}",
            f"at most {shape.context_tokens} tokens, the longest context of {shape.name}",
            "Lower it, or plan a model with a longer context.",
        )
    if wishes.longest_answer_tokens is not None and wishes.longest_answer_tokens > wishes.context_tokens:
        raise UsageError(
            f"--longest-answer {wishes.longest_answer_tokens}",
            f"at most the context, {wishes.context_tokens} tokens, which holds prompt and answer",
            "Lower it, or raise --context.",
        )
    if wishes.input_tokens + wishes.output_tokens > wishes.context_tokens:
        raise UsageError(
            f"--input-tokens {wishes.input_tokens} and --output-tokens {wishes.output_tokens}",
            f"together at most the context, {wishes.context_tokens} tokens",
            "Lower them, or raise --context.",
        )


def _layout(request: Request, name: str) -> str:
    """The candidate's own spelling of a layout's name."""
    names = [candidate.name for candidate in candidates(request.shape, request.serving)]
    wanted = plain(name)
    found = next((one for one in names if plain(one) == wanted), None)
    if found is None:
        raise UsageError(f"--layout {name}", f"one of {', '.join(names)}", "Take one that these hosts can have.")
    return found


def _in_form(shape: Shape, quantization: str | None) -> Shape:
    """The checkpoint of the model that has its weights in the wanted form."""
    if quantization in (None, shape.quantization):
        return shape
    twin = catalogue.twin(shape, quantization) if quantization else None
    if twin is None:
        raise UsageError(
            f"--quantization {quantization} of {shape.name}, which is {shape.quantization}",
            "a model whose checkpoint in that form the catalogue knows",
            "Convert it and plan the converted directory, or leave --quantization out.",
        )
    return twin
