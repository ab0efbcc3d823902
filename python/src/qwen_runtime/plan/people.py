"""Hosts for people: how many a team's busy hour needs, and what its users then see.

    in flight   L = turns per second x time of a turn (Little's law), and the time of a turn grows with L: a fixed point
    busiest     L + 2 x sqrt(L): arrivals that do not know of one another are spread so; 1 in 44 moments has more
    cached      share x (1 - exp(-T / wait)): a turn finds its prefix unless it was pushed out, which happens after
                T = free KV cache / new tokens per second (least recently used first)

Sources: https://doi.org/10.1287/opre.9.3.383 (Little), https://doi.org/10.1109/JSAC.2002.801752 (Che, the time T).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qwen_runtime.plan import cache, planner
from qwen_runtime.plan.planner import Candidate
from qwen_runtime.plan.request import LARGEST_SITE, Request
from qwen_runtime.plan.roofline import Prediction, Roofline
from qwen_runtime.plan.workload import Workload
from qwen_runtime.sizing.gpus import GPUS, Gpu
from qwen_runtime.sizing.layout import Site

SIZES = 2
"""Larger kinds of GPUs that the same team is planned for."""
ROUNDS = 40
"""Steps of each fixed point; every step halves what is left."""


@dataclass(frozen=True, slots=True)
class BusyHour:
    """A busy hour as a team sees it on given hosts."""

    in_flight: float
    """Mean number of requests in flight at the site; infinite where they arrive faster than they are answered."""
    busiest: float
    """Requests in flight in its busy moments."""
    held: int
    """Requests of this length that the site's KV cache holds at once."""
    cached_share: float
    """Share of a prompt that is found in the prefix cache."""
    ttft_s: float
    turn_s: float
    """Time of a whole answer."""
    output_tokens_per_s: float
    """Rate that the team asks of the site."""
    output_tokens_per_s_per_user: float

    @property
    def carried(self) -> bool:
        """Whether nobody waits for another one's answer in busy moments."""
        return self.busiest <= self.held


@dataclass(frozen=True, slots=True)
class Sized:
    """A number of hosts for a team, on one kind of GPU."""

    request: Request
    """The request with that number of hosts, spare ones included, and the wishes that follow from the busy hour."""
    needed: int
    """Fewest hosts that carry the busy hour, without spare ones; 0 where no number does."""
    hour: BusyHour | None
    """None where the model does not fit."""
    why: str

    @property
    def holds(self) -> bool:
        """Whether nobody waits for another one's answer, and the first token comes in time."""
        workload, hour = self.request.workload, self.hour
        return bool(workload and hour and hour.carried and hour.ttft_s <= workload.first_token_s)


def size(request: Request, nodes: int | None = None) -> Sized:
    """The team of the request on so many hosts, or on as many as it needs."""
    assert request.workload
    needed = _fewest(request)
    count = nodes if nodes is not None else (needed or 1) + request.spare
    chosen = _with_nodes(request, count)
    hour = _hour(chosen)
    if hour is None:
        return Sized(chosen, needed, None, "the model does not fit")
    chosen = _with_wishes(chosen, hour)  # the load may call for another layout
    hour = _hour(chosen) or hour
    return Sized(chosen, needed, hour, _why(chosen, needed, hour))


def others(request: Request) -> list[Sized]:
    """The same team on the next larger kinds of GPUs."""
    return [size(replace(request.on(gpu), layout=None)) for gpu in _larger(request.gpu)]


def busy_hour(request: Request, best: Candidate) -> BusyHour:
    workload, layout = request.workload, best.layout
    assert workload
    arriving = workload.turns_per_s / layout.replicas
    held = planner.sequences(request, best.memory) * layout.attention_groups
    roofline = planner.roofline(request, layout, request.engine)
    kept_tokens = (
        best.memory.kv_tokens + cache.offloaded_tokens(request, layout, best.memory)
    ) * layout.attention_groups
    # vLLM's own balance between attention groups does not look for prefixes: one group of them has it.
    most_cached = workload.cached_share / layout.attention_groups
    share = most_cached
    for _ in range(ROUNDS):
        in_flight, prediction = _in_flight(request, roofline, arriving, held, share, layout.replicas)
        fresh = workload.input_tokens * (1 - share) + workload.output_tokens
        running = min(in_flight, held) * (workload.input_tokens + workload.output_tokens)
        pushed_out_s = max(0.0, kept_tokens - running) / (arriving * fresh)
        share = (share + most_cached * -math.expm1(-pushed_out_s / workload.wait_s)) / 2
    site = in_flight * layout.replicas
    return BusyHour(
        in_flight=site,
        busiest=layout.replicas * (in_flight + 2 * math.sqrt(in_flight)),
        held=held * layout.replicas,
        cached_share=share,
        ttft_s=prediction.ttft_s,
        turn_s=_turn_s(workload, prediction),
        output_tokens_per_s=workload.turns_per_s * workload.output_tokens,
        output_tokens_per_s_per_user=1 / prediction.inter_token_s,
    )


def _in_flight(
    request: Request, roofline: Roofline, arriving: float, held: int, share: float, replicas: int
) -> tuple[float, Prediction]:
    """Mean number in flight in one engine at this rate of arrivals, with what its users see."""
    workload = request.workload
    assert workload
    cached = int(share * workload.input_tokens)

    def at(number: float) -> Prediction:
        lengths = (workload.input_tokens, workload.output_tokens)
        return roofline.predict(number * replicas, *lengths, held, cached)

    alone, full = at(1), at(held)
    if arriving * _turn_s(workload, alone) <= 1:
        return arriving * _turn_s(workload, alone), alone
    if arriving * _turn_s(workload, full) > held:
        return math.inf, full
    low, high = 1.0, float(held)
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if arriving * _turn_s(workload, at(middle)) <= middle else (middle, high)
    return high, at(high)


def _turn_s(workload: Workload, prediction: Prediction) -> float:
    return prediction.ttft_s + (workload.output_tokens - 1) * prediction.inter_token_s


def _fewest(request: Request) -> int:
    """Fewest hosts that carry the busy hour and, where one user alone gets the first token in time, everybody's too.

    0 where no site is large enough. More hosts never make it worse, so it is a bisection.
    """
    workload = request.workload
    assert workload
    most = LARGEST_SITE // request.site.gpus_per_node - request.spare
    alone = _hour(_with_nodes(replace(request, workload=replace(workload, developers=1)), most + request.spare))
    in_time = alone is not None and alone.ttft_s <= workload.first_token_s

    def enough(serving: int) -> bool:
        hour = _hour(_with_nodes(request, serving + request.spare))
        return hour is not None and hour.carried and not (in_time and hour.ttft_s > workload.first_token_s)

    high = 1
    while high < most and not enough(high):
        high = min(2 * high, most)
    if not enough(high):
        return 0
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _hour(request: Request) -> BusyHour | None:
    best = planner.choose(request)
    return busy_hour(request, best) if best else None


def _with_nodes(request: Request, nodes: int) -> Request:
    return replace(request, site=Site(request.site.gpus_per_node, nodes))


def _with_wishes(request: Request, hour: BusyHour) -> Request:
    """The wishes that follow: the busiest moment's concurrency, and the rate that the team asks of each GPU."""
    concurrency = math.ceil(hour.busiest if math.isfinite(hour.busiest) else hour.held + 1)
    rate = round(hour.output_tokens_per_s / request.serving.gpus, 2)
    wishes = replace(
        request.wishes,
        concurrency=concurrency,
        tokens_per_s_per_gpu=max(rate, 0.01),
        cached_share=round(hour.cached_share, 3),
    )
    return replace(request, wishes=wishes)


def _why(request: Request, needed: int, hour: BusyHour) -> str:
    """The sentence that gives the number of hosts and its reason."""
    workload = request.workload
    assert workload
    turns = f"{workload.developers} developers with {workload.turns_per_hour:g} turns an hour send "
    turns += f"{workload.turns_per_s:.2f} a second"
    serving = request.serving.nodes
    if not math.isfinite(hour.in_flight):
        return f"{turns}, faster than {_hosts(serving)} can answer{_needs(needed)}"
    load = (
        f"{turns}; a turn takes {hour.turn_s:.1f} s, so {hour.in_flight:.1f} are in flight and {hour.busiest:.0f} in "
    )
    load += "busy moments"
    if not hour.carried:
        return f"{load}, of which {_hosts(serving)} hold{'s' * (serving == 1)} {hour.held}{_needs(needed)}"
    if hour.ttft_s > workload.first_token_s:
        late = f"{load}, but the first token comes after {hour.ttft_s:.1f} s, not {workload.first_token_s:g}"
        return late + (_needs(needed) if needed > serving else ", and more hosts do not help")
    return f"{load}; {_hosts(serving)} hold{'s' * (serving == 1)} {hour.held}, and {_fewer(request, needed, hour)}"


def _hosts(number: int) -> str:
    return "1 host" if number == 1 else f"{number} hosts"


def _needs(needed: int) -> str:
    return f"; {_hosts(needed)} {'is' if needed == 1 else 'are'} needed" if needed else "; no number of hosts is enough"


def _fewer(request: Request, needed: int, hour: BusyHour) -> str:
    """The reason why one host less is not enough."""
    if needed < request.serving.nodes:
        return f"{needed} would be enough"
    less = _hour(_with_nodes(request, needed - 1 + request.spare)) if needed > 1 else None
    if less is None:
        return "the model needs them" if needed > 1 else "one is the least"
    if not math.isfinite(less.in_flight):
        return f"{needed - 1} would fall behind"
    if not less.carried:
        return f"{needed - 1} would hold {less.held} of {less.busiest:.0f}"
    return f"on {needed - 1} the first token would come after {less.ttft_s:.1f} s, not {hour.ttft_s:.1f}"


def _larger(gpu: Gpu) -> list[Gpu]:
    """The next larger kinds: not less of memory or arithmetic, and more bandwidth."""
    better = [
        other
        for other in GPUS
        if other.vendor == gpu.vendor
        and other.bandwidth_bytes_per_s > gpu.bandwidth_bytes_per_s
        and other.usable_bytes > 0.99 * gpu.usable_bytes
        and other.bf16_flops >= gpu.bf16_flops
    ]
    return sorted(better, key=lambda other: other.bandwidth_bytes_per_s)[:SIZES]
