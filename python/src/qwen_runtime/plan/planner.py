"""Plans: considers every layout, takes the best of those that fit, and predicts its speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from qwen_runtime.engine.record import Decision
from qwen_runtime.engine.registry import ENGINES
from qwen_runtime.engine.vllm import DRAFTS_ON_CPU
from qwen_runtime.plan import cache
from qwen_runtime.plan.request import Request, Wishes
from qwen_runtime.plan.roofline import Prediction, Roofline
from qwen_runtime.plan.speculation import METHODS
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout, Site, candidates, misfit
from qwen_runtime.sizing.memory import MAX_SEQUENCES, Memory, account
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.units import count, gib

AS_FAST = 0.9
"""Layouts within 10 % of the best product of both speeds (5 % of each) count as equally fast: predictions are less
exact than that (docs/planner.md)."""
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Candidate:
    layout: Layout
    memory: Memory
    refusal: str | None
    """None where it fits."""
    output_tokens_per_s: float = 0.0
    """Predicted at the wished concurrency."""
    alone_tokens_per_s: float = 0.0
    """The same for one user who has the site alone: how long a single answer takes."""

    @property
    def merit(self) -> float:
        """Both speeds in one number: a layout is worth what it gives to all, times what it gives to one."""
        return self.output_tokens_per_s * self.alone_tokens_per_s


@dataclass(frozen=True, slots=True)
class Target:
    """Whether the wished rate and latency hold at once."""

    holds: bool
    concurrency: int | None
    """The fewest requests in flight at which they do."""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    request: Request
    best: Candidate
    """The layout that was taken or, where none fits, the one that comes nearest."""
    considered: tuple[Candidate, ...]
    predicted: tuple[Prediction, ...] = ()
    target: Target | None = None
    launch: dict[str, list[str]] = field(default_factory=dict)
    """Engine to its arguments; engines that do not take the model here are in `unusable`."""
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        return self.best.refusal is None

    @property
    def sequences_per_engine(self) -> int:
        """Requests of the planned length that one engine runs at once."""
        layout = self.best.layout
        return sequences(self.request, self.best.memory) * layout.attention_groups


def plan(request: Request) -> Plan:
    """The plan for a request, which may be one that does not fit. nearest.py finds what would fit instead."""
    considered = tuple(consider(request, request.engine))
    best = _best(request, considered)
    if best is None:
        return Plan(request, _nearest_miss(request, considered), considered)
    launch, unusable = _launch(request, best)
    fitting = Plan(request, best, considered, launch=launch, unusable=unusable)
    if reason := ENGINES[request.engine].planned.unpredicted:
        return replace(fitting, target=Target(False, None, reason))
    capacity = fitting.sequences_per_engine
    speed = roofline(request, best.layout, request.engine)
    most = capacity * best.layout.replicas
    predicted = _predicted(speed, request.wishes, most, capacity)
    return replace(fitting, predicted=predicted, target=_target(speed, request, most, capacity))


def choose(request: Request) -> Candidate | None:
    """The best layout alone, without arguments and predictions; None where nothing fits."""
    return _best(request, tuple(consider(request, request.engine)))


def consider(request: Request, engine: str) -> Iterator[Candidate]:
    """Every division of the model over the site, with the reason where it cannot be."""
    planned = ENGINES[engine].planned
    for layout in candidates(request.shape, request.serving):
        memory = account(
            request.shape, request.gpu, layout, request.utilization, whole_embedding=planned.whole_embedding
        )
        refusal = (
            _forbidden_by_hardware(request.shape, request.gpu)
            or cache.forbidden(request, engine, layout)
            or _drafts_forbidden(request)
            or _over_nodes(engine, layout, request.site)
            or planned.forbidden(request.shape, request.gpu, layout)
            or misfit(request.shape, layout)
            or _too_large(request, memory)
        )
        yield Candidate(layout, memory, refusal, *(() if refusal else _rates(request, layout, memory, engine)))


def _forbidden_by_hardware(shape: Shape, gpu: Gpu) -> str | None:
    if shape.fp8_block and gpu.vendor == "cpu":
        return "FP8 needs a GPU: CPUs have no arithmetic in FP8 and no kernel that unpacks its blocks; plan bf16"
    if shape.mxfp4 and gpu.vendor == "cpu":
        return "MXFP4 needs a GPU: vLLM's build for CPUs has no kernel for it"
    if shape.int8 and gpu.int8 is None:
        return (
            "INT8 weights are planned for processors with avx512_vnni or amx_int8 alone: their speed was measured "
            "nowhere else; plan bf16"
        )
    return None


def _drafts_forbidden(request: Request) -> str | None:
    return DRAFTS_ON_CPU if request.speculative and request.gpu.vendor == "cpu" else None


def _over_nodes(engine: str, layout: Layout, site: Site) -> str | None:
    if layout.nodes_per_replica(site) > 1 and not ENGINES[engine].planned.over_nodes:
        return f"engine {engine} has been tried on one host only"
    return None


def _too_large(request: Request, memory: Memory) -> str | None:
    if memory.missing_bytes:
        return (
            f"memory: {gib(memory.weights_bytes)} of weights and {gib(memory.headroom_bytes)} of headroom on each GPU, "
            f"of which {gib(memory.usable_bytes)} can be used"
        )
    if memory.kv_tokens < request.wishes.context_tokens:
        return (
            f"memory: after weights and headroom there is room for {count(memory.kv_tokens)} tokens of KV cache, "
            f"less than one request of {count(request.wishes.context_tokens)}"
        )
    return None


def _rates(request: Request, layout: Layout, memory: Memory, engine: str) -> tuple[float, float]:
    """Tokens per second at the wished concurrency, and for one user alone."""
    wishes = request.wishes
    capacity = sequences(request, memory) * layout.attention_groups
    speed = roofline(request, layout, engine)
    together, alone = (predict(speed, wishes, users, capacity).output_tokens_per_s for users in (wishes.concurrency, 1))
    return together, alone


def roofline(request: Request, layout: Layout, engine: str) -> Roofline:
    overlap = ENGINES[engine].planned.stages_overlap
    speculation = METHODS[request.speculative] if request.speculative else None
    return Roofline(request.shape, request.gpu, layout, stages_overlap=overlap, speculation=speculation)


def _best(request: Request, considered: tuple[Candidate, ...]) -> Candidate | None:
    """The best layout: as few hosts in one engine and as few stages as possible, then the fastest, at the wished
    concurrency and for one user alone. Among those that are equally fast as far as predictions can tell, the simplest,
    with the most KV cache. A layout that the user asks for is the only one.
    """
    fitting = [c for c in considered if c.refusal is None and request.layout in (None, c.layout.name)]
    hosts = min((c.layout.nodes_per_replica(request.site) for c in fitting), default=0)
    fitting = [c for c in fitting if c.layout.nodes_per_replica(request.site) == hosts]
    stages = min((c.layout.pipeline_parallel for c in fitting), default=0)  # no row of python/calibration has some
    fitting = [c for c in fitting if c.layout.pipeline_parallel == stages]
    fastest = max((c.merit for c in fitting), default=0.0)
    return min(
        (c for c in fitting if c.merit >= AS_FAST * fastest),
        key=lambda c: (c.layout.attention_groups, -c.memory.kv_tokens),
        default=None,
    )


def _nearest_miss(request: Request, considered: tuple[Candidate, ...]) -> Candidate:
    """Memory can be bought, so layouts that only memory refuses come before those that nothing helps."""
    return min(
        (c for c in considered if request.layout in (None, c.layout.name)),
        key=lambda c: (not str(c.refusal).startswith("memory"), c.memory.missing_bytes, -c.memory.kv_tokens),
    )


def _launch(request: Request, best: Candidate) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Arguments of each engine, and why the others have none. The planned engine gets its layout; each other one gets
    the best that it can have on the same hosts."""
    launch: dict[str, list[str]] = {}
    unusable: dict[str, str] = {}
    for engine, record in ENGINES.items():
        if engine == request.engine:
            candidate: Candidate | None = best
        else:
            free = replace(request, layout=None)
            considered = tuple(consider(free, engine))
            candidate = _best(free, considered)
            if candidate is None:
                unusable[engine] = str(_nearest_miss(free, considered).refusal)
        if candidate is not None:
            launch[engine] = record.planned.arguments(decision(request, candidate))
    return launch, unusable


def sequences(request: Request, memory: Memory) -> int:
    """Requests of the planned length that one attention group holds at once. Only predictions count with it: shorter
    ones, and those that share a prefix, run in larger numbers, up to what the headroom is counted for."""
    tokens = request.wishes.input_tokens + request.wishes.output_tokens
    return max(1, min(memory.requests(tokens), MAX_SEQUENCES))


def decision(request: Request, candidate: Candidate) -> Decision:
    """The candidate in the form that engines take."""
    return Decision(
        shape=request.shape,
        gpu=request.gpu,
        layout=candidate.layout,
        memory=candidate.memory,
        nodes=candidate.layout.nodes_per_replica(request.site),
        context_tokens=request.wishes.context_tokens,
        sequences=MAX_SEQUENCES,
        utilization=request.utilization,
        offload_gib=cache.offload_gib(request, candidate.layout),
    )


def predict(speed: Roofline, wishes: Wishes, concurrency: int, capacity: int) -> Prediction:
    return speed.predict(concurrency, wishes.input_tokens, wishes.output_tokens, capacity, wishes.cached_tokens)


def _predicted(speed: Roofline, wishes: Wishes, most: int, capacity: int) -> tuple[Prediction, ...]:
    concurrencies = sorted({wishes.concurrency, *(c for c in CONCURRENCIES if c <= most)})
    return tuple(predict(speed, wishes, c, capacity) for c in concurrencies)


def _target(speed: Roofline, request: Request, most: int, capacity: int) -> Target:
    """The verdict on both targets. Rate and latency grow with the requests in flight: bisect for the rate, then look
    at the latency."""
    wishes = request.wishes

    def at(concurrency: int) -> Prediction:
        return predict(speed, wishes, concurrency, capacity)

    low, high = 1, most
    rate = f"{wishes.tokens_per_s_per_gpu:g} tokens/s a GPU"
    if at(high).output_tokens_per_s_per_gpu < wishes.tokens_per_s_per_gpu:
        reached = at(high)
        return Target(
            False,
            None,
            f"cannot hold: {reached.output_tokens_per_s_per_gpu:.0f} tokens/s a GPU, not {rate}, at the "
            f"{most} requests that the KV cache holds",
        )
    while low < high:
        middle = (low + high) // 2
        if at(middle).output_tokens_per_s_per_gpu < wishes.tokens_per_s_per_gpu:
            low = middle + 1
        else:
            high = middle
    reached = at(low)
    first = f"first token after {reached.ttft_s * 1000:.0f} ms"
    if reached.ttft_s > wishes.latency_s:
        limit = f"{wishes.latency_s * 1000:g} ms"
        return Target(False, None, f"cannot hold together: {rate} from {low} requests in flight on, but {first}, "
                      f"more than {limit}")  # fmt: skip
    return Target(True, low, f"hold from {low} requests in flight on: {rate}, {first}")
