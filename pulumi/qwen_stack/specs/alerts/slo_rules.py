"""Service levels: shares of bad events over several windows, and what the site's objectives allow.

The windows and factors are those of the SRE Workbook, chapter 5 (multi-window, multi-burn-rate alerts), for a budget of
30 days. Each long window has a short one, so that an alert ends soon after its cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_runtime.engine.buckets import edge_label

from qwen_stack.settings.monitoring import Objectives
from qwen_stack.specs.manifest import Manifest

LONGEST_DAYS = 3


@dataclass(frozen=True, slots=True)
class Burn:
    """An alert when both windows use up the budget `factor` times faster than in 30 days."""

    factor: float
    long: str
    short: str


FAST = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))
SLOW = (Burn(3, "1d", "2h"), Burn(1, f"{LONGEST_DAYS}d", "6h"))
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", f"{LONGEST_DAYS}d")
# Fewer events in the long window say nothing about a share: one slow answer in the night would page.
LEAST_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Level:
    """Good or bad and all events of one service level, as counters, and what the site promises."""

    name: str
    objective: float
    all: str
    by: str
    """Label that keeps models apart; empty where the gateway counts for all of them."""
    good: str = ""
    bad: tuple[str, ...] = ()
    """Counters of bad events, in place of `good`."""
    threshold_s: float | None = None

    def errors(self, window: str) -> str:
        """Share of bad events within a window."""
        by = f" by ({self.by})" if self.by else ""
        every = f"sum{by} (rate({self.all}[{window}]))"
        if self.good:
            return f"1 - sum{by} (rate({self.good}[{window}])) / {every}"
        return f"({' + '.join(f'sum{by} (rate({bad}[{window}]))' for bad in self.bad)}) / {every}"


def levels(objectives: Objectives) -> list[Level]:
    asked = 'serving:gateway_answers:total{class=~"2xx|3xx|5xx"}'
    # A stream that is cut began as 2xx, and is asked for once.
    failed = ('serving:gateway_answers:total{class="5xx"}', "serving:gateway_cut:total")
    return [
        Level("availability", objectives.availability, asked, "", bad=failed),
        _below("first_token", "time_to_first_token", objectives.first_token_seconds, objectives.first_token_share),
        _below("inter_token", "inter_token_latency", objectives.inter_token_seconds, objectives.inter_token_share),
        _below("answer", "request_latency", objectives.answer_seconds, objectives.answer_share),
    ]


def recording_rules(objectives: Objectives) -> list[Manifest]:
    left = f"1 - serving:slo_errors:ratio_{LONGEST_DAYS}d / on (slo) group_left serving:slo_budget:ratio"
    rules = [rule for level in levels(objectives) for rule in _rules(level)]
    return [*rules, {"record": "serving:slo_budget_left:ratio", "expr": left}]


def burning(burns: tuple[Burn, ...]) -> str:
    """Expression that is true for each service level whose budget burns at one of these speeds."""
    return " or ".join(f"({_burning(burn)})" for burn in burns)


def _burning(burn: Burn) -> str:
    allowed = f"> on (slo) group_left {burn.factor:g} * serving:slo_budget:ratio"
    same = "and on (slo, model_name)"
    return (
        f"serving:slo_errors:ratio_{burn.long} {allowed} {same} (serving:slo_errors:ratio_{burn.short} {allowed}) "
        f"{same} (serving:slo_events:increase_{burn.long} >= {LEAST_EVENTS})"
    )


def _below(name: str, histogram: str, seconds: float, share: float) -> Level:
    series = f"serving:{histogram}:seconds"
    bucket = f'{series}_bucket{{le="{edge_label(seconds)}"}}'
    return Level(name, share, f"{series}_count", "model_name", good=bucket, threshold_s=seconds)


def _rules(level: Level) -> list[Manifest]:
    by = f" by ({level.by})" if level.by else ""
    rules = [(f"slo_errors:ratio_{window}", level.errors(window)) for window in WINDOWS]
    rules += [(f"slo_events:increase_{window}", f"sum{by} (increase({level.all}[{window}]))") for window in WINDOWS]
    rules.append(("slo_objective:ratio", f"vector({level.objective:g})"))
    rules.append(("slo_budget:ratio", f"vector({1 - level.objective:g})"))
    if level.threshold_s is not None:
        rules.append(("slo_threshold:seconds", f"vector({level.threshold_s:g})"))
    return [{"record": f"serving:{name}", "expr": expr, "labels": {"slo": level.name}} for name, expr in rules]
