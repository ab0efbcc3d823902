"""Network policies: every pod is closed in both directions, and a table says who may open connections to whom.

Answers to a connection that was allowed need no entry. Probes come from a pod's own node, which may always connect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.settings.stack import Model, Settings
from qwen_stack.specs import evaluation, limits, model_group, model_server, repair, traces
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.gateway.routes import API_PORT, METRICS_PORT
from qwen_stack.specs.manifest import Manifest, app, metadata
from qwen_stack.specs.monitoring import (
    alertmanager,
    dashboards,
    dcgm_exporter,
    host_jobs,
    log_collector,
    logs,
    prometheus,
)

DEFAULT_NAME = "closed"
DNS_PORT = 53
# Label that every namespace has by itself.
NAMESPACE_NAME = "kubernetes.io/metadata.name"
# How kubeadm labels the cluster's name servers.
DNS_PODS = {
    "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
SERVER_PORTS = (model_server.API_PORT, model_server.HEALTH_PORT)


@dataclass(frozen=True, slots=True)
class Part:
    """Pods of the stack that share `labels`; `name` is the name of their policy. With a `namespace` they are another
    one's pods, which have policies of their own; with `addresses` they are hosts."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def of_stack(self) -> bool:
        return not (self.namespace or self.addresses)

    @property
    def selector(self) -> Manifest:
        return {"matchLabels": dict(self.labels)}

    @property
    def peers(self) -> list[Manifest]:
        """Selectors of these pods or hosts as an end of a connection."""
        if self.addresses:
            return [{"ipBlock": {"cidr": f"{address}/32"}} for address in self.addresses]
        place = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: self.namespace}}} if self.namespace else {}
        return [{**place, "podSelector": self.selector}]


@dataclass(frozen=True, slots=True)
class Flow:
    """Connections over TCP from one part to another, at these ports; without ports at all of them.

    No part means anybody: clients and services outside the stack.
    """

    source: Part | None
    target: Part | None
    ports: tuple[int, ...] = ()


def part(name: str, labels: Mapping[str, str] | None = None) -> Part:
    """Pods with these labels, by default those of the part with this name."""
    return Part(name, tuple(sorted((labels or app(name)).items())))


GATEWAY, LIMITER, PROMETHEUS, ALERTMANAGER, EXPORTER, REPAIR = map(
    part, (gateway.NAME, limits.NAME, prometheus.NAME, alertmanager.NAME, dcgm_exporter.NAME, repair.NAME)
)
EVALUATION, HISTORY, DASHBOARDS = map(part, (evaluation.NAME, evaluation.HISTORY, dashboards.NAME))
LOGS, COLLECTOR = map(part, (logs.NAME, log_collector.NAME))
# KEDA's own release file puts all of it there.
KEDA = Part("keda", namespace="keda")


def flows(settings: Settings) -> Iterator[Flow]:
    """Table of who may connect to whom."""
    yield Flow(None, GATEWAY, (API_PORT,))
    if settings.gateway.limits:
        yield Flow(GATEWAY, LIMITER, (limits.PORT, limits.ENDS_PORT))
        yield Flow(PROMETHEUS, LIMITER, (limits.PORT,))
    if settings.evaluation:
        outside = evaluation.endpoint_port(settings.evaluation)
        yield Flow(EVALUATION, None, (outside,)) if outside else Flow(EVALUATION, GATEWAY, (API_PORT,))
        yield Flow(EVALUATION, HISTORY, (evaluation.PORT,))
        yield Flow(PROMETHEUS, HISTORY, (evaluation.PORT,))
    for model in settings.models:
        yield from _of_model(model)
    if any(model.autoscaling for model in settings.models):
        yield Flow(KEDA, PROMETHEUS, (prometheus.PORT,))
    yield from _of_monitoring(settings.monitoring)
    if settings.tracing:
        outside = traces.port(settings.tracing.endpoint)
        senders = [GATEWAY, *(part(model.server) for model in settings.models if traces.flag(model))]
        yield from (Flow(sender, None, (outside,)) for sender in senders)
    if settings.logs:
        yield Flow(COLLECTOR, LOGS, (logs.PORT,))
        yield Flow(COLLECTOR, None, (settings.logs.api_port,))
        yield Flow(PROMETHEUS, LOGS, (logs.PORT,))
        yield Flow(PROMETHEUS, COLLECTOR, (log_collector.PORT,))
    if settings.repair:
        yield Flow(PROMETHEUS, REPAIR, (repair.PORT,))
        yield Flow(REPAIR, PROMETHEUS, (prometheus.PORT,))
        # Servers of the cluster's API have the addresses of hosts, which no policy knows by a name.
        yield Flow(REPAIR, None, (settings.repair.api_port,))


def policies(allowed: Iterable[Flow]) -> list[Manifest]:
    """One policy for each part, and last the one that closes every pod, so that it follows what is open."""
    table = tuple(allowed)
    parts = dict.fromkeys(end for flow in table for end in (flow.source, flow.target) if end is not None)
    return [*(_policy(one, table) for one in parts if one.of_stack), _closed()]


def _of_model(model: Model) -> Iterator[Flow]:
    server = part(model.server)
    yield Flow(GATEWAY, server, SERVER_PORTS)
    yield Flow(PROMETHEUS, server, SERVER_PORTS)
    if model.nodes_per_replica > 1:
        for replica in model_group.numbers(model):
            # Ranks choose their ports for each other themselves.
            group = part(model_group.name_of(model, replica), model_group.labels(model, replica))
            yield Flow(group, group)


def _of_monitoring(monitoring: Monitoring) -> Iterator[Flow]:
    yield Flow(PROMETHEUS, GATEWAY, (METRICS_PORT,))
    yield Flow(PROMETHEUS, EXPORTER, (dcgm_exporter.PORT,))
    yield Flow(PROMETHEUS, ALERTMANAGER, (alertmanager.PORT,))
    for name, addresses, ports in host_jobs.ports(monitoring):
        yield Flow(PROMETHEUS, Part(name, addresses=addresses), ports)
    if monitoring.dashboards:
        yield Flow(DASHBOARDS, PROMETHEUS, (prometheus.PORT,))
    if monitoring.alertmanager_replicas > 1:
        # They tell each other by TCP and by UDP.
        yield Flow(ALERTMANAGER, ALERTMANAGER)
    # A connection to a node port may reach the pod with the address of any node.
    if monitoring.prometheus_node_port is not None:
        yield Flow(None, PROMETHEUS, (prometheus.PORT,))
    if monitoring.alertmanager_node_port is not None:
        yield Flow(None, ALERTMANAGER, (alertmanager.PORT,))
    # Policies know addresses and no names, so the port alone says where alerts and series go.
    for sender, url in (
        (ALERTMANAGER, monitoring.alert_webhook_url),
        (ALERTMANAGER, monitoring.watchdog_url),
        (PROMETHEUS, monitoring.remote_write_url),
    ):
        if url is not None:
            yield Flow(sender, None, (_port(url),))


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def _policy(one: Part, table: Iterable[Flow]) -> Manifest:
    incoming = [_rule("from", flow.source, flow.ports) for flow in table if flow.target == one]
    outgoing = [_rule("to", flow.target, flow.ports) for flow in table if flow.source == one]
    return _manifest(one.name, one.selector, incoming, outgoing)


def _closed() -> Manifest:
    """Policy of all pods: nobody connects to them, and they ask the name servers only."""
    ports = [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]
    return _manifest(DEFAULT_NAME, {}, [], [{"to": [DNS_PODS], "ports": ports}])


def _rule(end: str, other: Part | None, ports: Iterable[int]) -> Manifest:
    peers = {} if other is None else {end: other.peers}
    numbers = [{"protocol": "TCP", "port": port} for port in ports]
    return {**peers, **({"ports": numbers} if numbers else {})}


def _manifest(name: str, pods: Manifest, incoming: list[Manifest], outgoing: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name),
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress", "Egress"],
            **({"ingress": incoming} if incoming else {}),
            **({"egress": outgoing} if outgoing else {}),
        },
    }
