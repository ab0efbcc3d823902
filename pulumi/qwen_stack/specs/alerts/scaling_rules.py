"""`serving:*` series by which the number of replicas follows the requests, and the alerts about it."""

from __future__ import annotations

from collections.abc import Iterable

from qwen_stack.settings.stack import Model, Settings
from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.manifest import Manifest

WANTED, MOST = "serving:wanted_replicas:replicas", "serving:most_replicas:replicas"
READY = "max by (server) (serving:gateway_healthy_servers:replicas)"


def demand(server: str) -> str:
    """Requests of a model in flight."""
    return f'serving:demand:requests{{server="{server}"}}'


def pressure(server: str) -> str:
    """Sum over the replicas of the shares of their KV caches that are in use."""
    return f'serving:kv_pressure:replicas{{server="{server}"}}'


def followed(settings: Settings) -> list[Model]:
    """Models whose number of replicas follows the requests."""
    return [model for model in settings.models if model.autoscaling]


def recording_rules(settings: Settings) -> list[Manifest]:
    """Rules, in the order in which they read each other; none where every number is fixed.

    A gateway or replica that does not answer must not look like less work: then a series has no value at all. Streams
    of a gateway that drains are counted by the engines alone, since it is no longer listed. A replica that starts holds
    no cache and does not answer yet; so replicas are missed where the gateways find more ready ones than answer here.
    """
    gateways, engines = (
        f"(sum by (server) ({running}) + sum by (server) ({waiting}))"
        for running, waiting in (
            ("serving:gateway_requests_running:requests", "serving:gateway_requests_waiting:requests"),
            ("serving:requests_running:requests", "serving:requests_waiting:requests"),
        )
    )
    expressions = {
        "serving:demand:requests": f"({gateways} >= on (server) {engines} or on (server) {engines} "
        f'or on (server) {gateways}) and on () (min(up{{job="gateway"}}) == 1)',
        "serving:kv_pressure:replicas": "sum by (server) (serving:kv_cache_used:ratio) "
        f'unless on (server) ({READY} > on (server) count by (server) (up{{job="model-server"}} == 1))',
        WANTED: "ceil(serving:demand:requests / on (server) group_right () serving:requests_per_replica:requests)",
    }
    models = followed(settings)
    return [*_bounds(models), *({"record": name, "expr": text} for name, text in expressions.items() if models)]


def _bounds(models: Iterable[Model]) -> Iterable[Manifest]:
    for model in models:
        assert model.autoscaling is not None
        labels = {"server": model.server, "model_name": model.served_name}
        target, most = model.autoscaling.target, model.autoscaling.max
        yield {"record": "serving:requests_per_replica:requests", "expr": f"vector({target})", "labels": labels}
        yield {"record": MOST, "expr": f"vector({most})", "labels": labels}


def alerts(settings: Settings) -> Iterable[Alert]:
    """Alerts about models that follow the requests; none where there is none."""
    models = followed(settings)
    if not models:
        return
    start_minutes = -(-max(model.startup_seconds for model in models) // 60)
    yield Alert(
        name="ReplicasExhausted",
        expression=f"{WANTED} > on (server) {MOST}",
        holds="10m",
        severity="warning",
        owner="serving",
        summary="{{ $labels.model_name }} has more work than its most replicas are meant for",
        impact="Requests wait, and answers become slower than planned.",
        found="requests for {{ $value }} replicas, and GPUs or a bound for fewer",
        needed="a bound that the requests stay below",
        remedy="Raise autoscaling.max where GPUs are free, lower spareReplicas, or plan for more hosts.",
        look="`serving:demand:requests`, `serving:most_replicas:replicas`",
    )
    yield Alert(
        name="AutoscalerBlind",
        # While no replica is ready, there is no cache to see; NoReadyReplica says that.
        expression=f"{MOST} unless on (server) (serving:demand:requests and on (server) "
        f"(serving:kv_pressure:replicas or on (server) {READY} == 0))",
        holds="5m",
        severity="warning",
        owner="monitoring",
        summary="Nobody can see how much work {{ $labels.model_name }} has",
        impact="The number of replicas stays as it is, whatever the load.",
        found="no value, because a gateway or a replica does not answer Prometheus",
        needed="every gateway that is listed, and every replica that is ready",
        remedy="Look which target is down, and delete its pod if it hangs.",
        look="Status, Targets in Prometheus",
    )
    yield Alert(
        name="ReplicasDoNotFollow",
        expression=f"({WANTED} < on (server) {MOST} or on (server) {MOST}) "
        '> on (server) sum by (server) (serving:state{state="ready"})',
        holds=f"{start_minutes + 10}m",
        severity="warning",
        owner="serving",
        summary="{{ $labels.model_name }} needs replicas that do not come",
        impact="Requests wait although there should be GPUs.",
        found="fewer ready replicas than its work needs, for longer than a start takes",
        needed="{{ $value }}",
        remedy="Look whether KEDA runs and what its object says; then at pods that are Pending.",
        look="`kubectl -n <namespace> describe scaledobject,hpa`, `kubectl -n keda get pods`",
    )
