"""Alerts of the model servers and of the service levels."""

from __future__ import annotations

from collections.abc import Iterable

from qwen_stack.settings.stack import Settings
from qwen_stack.specs.alerts import slo_rules
from qwen_stack.specs.alerts.alert import Alert

# Shares above which a KV cache counts as full, and above which requests lose their place in it.
FULL, PREEMPTED = 0.95, 0.05
# A replica's share of cached tokens that is below this part of its best sibling's counts as lost, where the sibling has
# at least the second share and both have computed for so many tokens.
LOST, WORTH_IT, ENOUGH_TOKENS = 0.5, 0.2, 10_000
LOG = "`kubectl -n <namespace> logs <pod> --previous`"
READY = 'serving:state{state="ready"}'


def alerts(settings: Settings) -> list[Alert]:
    affinity = _affinity() if settings.gateway.affinity.enabled else ()
    return [*_replicas(settings), *_engines(settings), *_load(), *affinity, *_levels()]


def _replicas(settings: Settings) -> Iterable[Alert]:
    ready = f"sum by (server) ({READY})"
    yield Alert(
        name="NoReadyReplica",
        expression=f"serving:planned_replicas:replicas unless on (server) ({ready} > 0)",
        holds="1m",
        severity="critical",
        owner="serving",
        summary="Nothing serves {{ $labels.model_name }}",
        impact="Every request for this model fails with 503.",
        found="no ready replica of {{ $labels.server }}",
        needed="{{ $value }}",
        remedy="Look at its pods. After a change put the old values back and run `pulumi up` "
        "(docs/operate/serving.md, When it fails).",
        look="`kubectl -n <namespace> get pods`, `kubectl -n <namespace> describe pod <pod>`, " + LOG,
    )
    yield Alert(
        name="ReplicasMissing",
        expression=f"serving:planned_replicas:replicas > on (server) {ready}",
        holds=f"{_slowest_minutes(settings) + 5}m",
        severity="warning",
        owner="serving",
        summary="{{ $labels.model_name }} has fewer replicas than planned",
        impact="Less headroom; one more loss may be an outage.",
        found="fewer ready replicas of {{ $labels.server }} than planned, for longer than a start takes",
        needed="{{ $value }}",
        remedy="Look at the pod that is not ready: Pending means GPUs or labels, a crash says why in its log.",
        look="`kubectl -n <namespace> get pods`, " + LOG,
    )


def _engines(settings: Settings) -> Iterable[Alert]:
    yield Alert(
        name="EngineStalled",
        expression="min_over_time(serving:requests_running:requests[3m]) > 0 "
        "unless on (instance) rate(serving:step_tokens:tokens_sum[3m]) > 0",
        holds="0m",
        severity="critical",
        owner="serving",
        summary="A replica of {{ $labels.server }} has requests and computes nothing",
        impact="Its requests hang until the supervisor ends it; then they are lost.",
        found="{{ $value }} running requests, and no token for 3 minutes",
        needed="tokens that move while requests run",
        remedy="Delete the pod if its supervisor does not. If a GPU failed, see GpuNeedsReset.",
        look=LOG,
    )
    # An engine that ends takes its supervisor with it, and a container starts anew in the same pod.
    yield Alert(
        name="EngineRestarted",
        expression="changes(serving:started_at:seconds[15m]) > 0",
        holds="0m",
        severity="warning",
        owner="serving",
        summary="A replica of {{ $labels.server }} ended by itself and started again",
        impact="Its running requests were cut; the others carry its load until it is ready.",
        found="{{ $value }} starts within 15 minutes",
        needed="a server that runs until it is changed",
        remedy="Read its last lines: they name the cause.",
        look=LOG,
    )
    minutes = max(30, 3 * _slowest_minutes(settings))
    yield Alert(
        name="EngineRestarts",
        expression=f"changes(serving:started_at:seconds[{minutes}m]) >= 3",
        holds="0m",
        severity="critical",
        owner="serving",
        summary="A replica of {{ $labels.server }} starts again and again",
        impact="It answers nothing, and the other replicas carry its load.",
        found=f"{{{{ $value }}}} starts within {minutes} minutes",
        needed="a server that runs until it is changed",
        remedy="Read the log of the last end. Weights that changed, memory that is too small and a broken GPU are "
        "the usual causes.",
        look=LOG + ", `kubectl -n <namespace> describe pod <pod>` (Last State)",
    )
    yield Alert(
        name="EnginesDieTogether",
        expression="sum by (server) (changes(serving:started_at:seconds[10m]) > bool 0) >= 2",
        holds="0m",
        severity="critical",
        owner="serving",
        summary="Several replicas of {{ $labels.server }} ended within 10 minutes",
        impact="A model may be down for as long as a start takes, each time it happens.",
        found="{{ $value }} replicas that ended by themselves",
        needed="none",
        remedy="Suspect one request: the gateway repeats it on another replica. Find the request with attempts above 1 "
        "in the gateway's log, and revoke the key of its client until it is understood.",
        look="`kubectl -n <namespace> logs -l app.kubernetes.io/name=gateway --since 15m | grep '\"attempts\": *2'`",
    )


def _load() -> Iterable[Alert]:
    waiting = "serving:requests_waiting:requests"
    ended = "sum by (server, model_name) (increase(serving:finished:total[15m]))"
    preempted = "sum by (server, model_name) (increase(serving:preemptions:total[15m]))"
    yield Alert(
        name="KvCacheFull",
        expression=f"min_over_time(serving:kv_cache_used:ratio[5m]) > {FULL} "
        f"and on (instance) avg_over_time({waiting}[5m]) >= 1",
        holds="5m",
        severity="warning",
        owner="serving",
        summary="A replica of {{ $labels.server }} has no room for more context",
        impact="Requests wait although the GPUs could compute more.",
        found="{{ $value | humanizePercentage }} of the KV cache in use, and requests in the queue",
        needed=f"at most {FULL:.0%}, or no queue",
        remedy="Plan with the contexts that users really send (docs/planner.md), or add a replica.",
        look="`serving:kv_cache_used:ratio`, and the length of prompts in the engine's histograms",
    )
    yield Alert(
        name="Preemptions",
        expression=f"{preempted} > {PREEMPTED} * {ended} and {ended} > {slo_rules.LEAST_EVENTS}",
        holds="0m",
        severity="warning",
        owner="serving",
        summary="{{ $labels.model_name }} throws requests out of its KV cache",
        impact="These requests are computed twice and stop for seconds in the middle of an answer.",
        found="{{ $value | humanize }} preemptions within 15 minutes",
        needed=f"at most {PREEMPTED:.0%} of the requests",
        remedy="As for KvCacheFull; or let the engine run fewer requests at once.",
        look="`serving:preemptions:total` and `serving:kv_cache_used:ratio`",
    )
    yield Alert(
        name="QueueGrows",
        expression=f"sum by (server, model_name) (min_over_time({waiting}[10m])) > 0 "
        f"and sum by (server, model_name) (deriv({waiting}[10m])) > 0",
        holds="5m",
        severity="warning",
        owner="serving",
        summary="The queue of {{ $labels.model_name }} grows",
        impact="Time to the first token grows with it.",
        found="at least {{ $value }} requests in the queue for 10 minutes, and more each minute",
        needed="a queue that empties",
        remedy="Add replicas, or ask who sends so much: the gateway's log names the client of each request.",
        look="`serving:requests_waiting:requests`, `serving:gateway_answers:total`",
    )


def _affinity() -> Iterable[Alert]:
    by, window = "sum by (server, model_name, instance)", "[30m]"
    asked = f"{by} (increase(serving:prompt_tokens:total{window}))"
    share = f"{by} (increase(serving:cached_prompt_tokens:total{window})) / ({asked} > {ENOUGH_TOKENS})"
    best = f"(max by (server, model_name) ({share}) > {WORTH_IT})"
    yield Alert(
        name="PrefixCacheMissed",
        expression=f"({share}) < on (server, model_name) group_left {LOST} * {best}",
        holds="15m",
        severity="warning",
        owner="serving",
        summary="A replica of {{ $labels.server }} computes prompts that its siblings have cached",
        impact="Its conversations wait longer for their first token, and its GPUs do work that was done.",
        found="{{ $value | humanizePercentage }} of its prompt tokens came from the cache",
        needed=f"at least {LOST:.0%} of the share of the best replica",
        remedy="After a start the cache fills within an hour. Otherwise look whether its engine has the prefix cache "
        "on, and whether its KV cache is full: then prefixes are thrown out before they are used.",
        look="`session` and `server` in the gateway's log, `serving:kv_cache_used:ratio`",
    )


def _levels() -> Iterable[Alert]:
    texts = {
        "summary": "The objective {{ $labels.slo }} {{ with $labels.model_name }}of {{ . }} {{ end }}is being missed",
        "found": "{{ $value | humanizePercentage }} of the events are bad",
        "remedy": "Look which other alert fires: it names the cause. Without one, compare replicas, then clients.",
        "look": "`serving:slo_errors:ratio_1h` and `serving:slo_budget_left:ratio`, then the gateway's log",
    }
    yield Alert(
        name="ErrorBudgetBurnsFast",
        expression=slo_rules.burning(slo_rules.FAST),
        holds="1m",
        severity="critical",
        owner="serving",
        impact="Users see errors or slow answers now; the month's budget is gone within days.",
        needed="a budget that lasts 30 days: this is at least 6 times too fast",
        **texts,
    )
    yield Alert(
        name="ErrorBudgetBurnsSlowly",
        expression=slo_rules.burning(slo_rules.SLOW),
        holds="15m",
        severity="warning",
        owner="serving",
        impact="Some users see errors or slow answers; the month's budget will not last.",
        needed="a budget that lasts 30 days",
        **texts,
    )


def _slowest_minutes(settings: Settings) -> int:
    """Minutes that the slowest model may take to start."""
    return -(-max(model.startup_seconds for model in settings.models) // 60)
