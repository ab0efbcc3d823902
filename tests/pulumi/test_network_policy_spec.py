"""Network policies open every connection that the stack makes, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs import model_group, model_server
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway.routes import route
from qwen_stack.specs.monitoring import alertmanager, prometheus, scrape_jobs

from .network import ADDRESS, OUTSIDE, Network, part


@pytest.fixture
def network(settings: Any) -> Network:
    return Network(settings)


NAMES = ("gateway", "model-server", "model-server-reference", "prometheus", "alertmanager", "dcgm-exporter")
PORTS = (80, 443, 6443, 8080, 8081, 8404, 9090, 9093, 9400, 9901)


def test_a_pod_that_the_table_does_not_name_talks_to_nobody(network: Network) -> None:
    for other in (OUTSIDE, *map(part, NAMES)):
        assert not [port for port in PORTS if network.allows(part("stray"), other, port)]
        assert not [port for port in PORTS if network.allows(other, part("stray"), port)]


def test_from_outside_only_what_has_a_node_port_can_be_reached(network: Network) -> None:
    reached = {(name, port) for name in NAMES for port in PORTS if network.allows(OUTSIDE, part(name), port)}
    assert reached == {("gateway", 8080), ("prometheus", 9090), ("alertmanager", 9093)}


def test_an_engine_answers_the_gateway_and_prometheus_and_asks_nobody(network: Network) -> None:
    engine = part("model-server")
    for port in (8080, 8081):
        assert network.allows(part("gateway"), engine, port)
        assert network.allows(part("prometheus"), engine, port)
        for other in (OUTSIDE, part("alertmanager"), part("dcgm-exporter"), part("model-server-reference"), engine):
            assert not network.allows(other, engine, port), other
    for port in (80, 443, 6443, 8080):
        assert not network.allows(engine, OUTSIDE, port)
        assert not network.allows(engine, part("model-server-reference"), port)


def test_the_gateways_metrics_are_prometheus_own(network: Network) -> None:
    assert network.allows(part("prometheus"), part("gateway"), 8404)
    for other in (OUTSIDE, part("model-server"), part("stray")):
        assert not network.allows(other, part("gateway"), 8404)
    assert not network.allows(OUTSIDE, part("gateway"), 9901)


def test_prometheus_may_reach_every_target_that_it_scrapes(local: dict[str, Any]) -> None:
    settings = config.parse({**local, "gateway": {**local["gateway"], "limits": {}}})
    jobs, network = scrape_jobs.scrape_configs(settings), Network(settings)
    addresses = set(settings.monitoring.hosts.values())
    watched = {model_server.watched_name(model): model.server for model in settings.models}
    services = {**watched, "gateway-metrics": "gateway"}
    targets = [
        (name.partition(".")[0], search["port"])
        for job in jobs
        for search in job.get("dns_sd_configs", [])
        for name in search["names"]
    ]
    listed = [found["targets"][0].split(":") for job in jobs for found in job.get("static_configs", [])]
    targets += [(host, int(port)) for host, port in listed if host not in ("localhost", *addresses)]
    assert {"alertmanager", "dcgm-exporter", "gateway-metrics", "limits", "model-server"} <= dict(targets).keys()
    for name, port in targets:
        assert network.allows(part("prometheus"), part(services.get(name, name)), port), (name, port)
    hosts = [(host, int(port)) for host, port in listed if host in addresses]
    assert {host for host, _ in hosts} == addresses
    for host, port in hosts:
        assert network.allows(part("prometheus"), {ADDRESS: f"{host}/32"}, port), (host, port)


def test_of_a_host_nobody_but_prometheus_reaches_the_exporter(network: Network, settings: Any) -> None:
    for address in settings.monitoring.hosts.values():
        host = {ADDRESS: f"{address}/32"}
        assert not [port for port in (22, 2379, 9400) if network.allows(part("prometheus"), host, port)]
        for other in ("gateway", "model-server", "alertmanager", "stray"):
            assert not network.allows(part(other), host, 9100)


def test_the_gateway_may_reach_every_upstream_at_the_ports_that_it_uses(settings: Any, network: Network) -> None:
    to = route(settings)
    assert "model-server" in gateway_config.files(settings.gateway, to)[gateway_config.CONFIG_FILE]
    for upstream in to.upstreams:
        for port in (to.upstream_port, to.health_port):
            assert network.allows(part("gateway"), part(upstream.server), port)


def test_the_gateway_may_ask_the_limiter_at_both_of_its_ports(local: dict[str, Any]) -> None:
    settings = config.parse({**local, "gateway": {**local["gateway"], "limits": {}}})
    to = route(settings)
    for port in (to.limits_port, to.ends_port):
        assert Network(settings).allows(part("gateway"), part("limits"), port)


def test_the_repair_controller_reaches_prometheus_and_the_api_and_only_prometheus_reaches_it(network: Network) -> None:
    assert network.allows(part("repair"), part("prometheus"), 9090)
    assert network.allows(part("repair"), OUTSIDE, 6443)
    assert network.allows(part("prometheus"), part("repair"), 8092)
    assert not network.allows(part("model-server"), part("repair"), 8092)
    assert not network.allows(part("repair"), part("model-server"), 8000)


def test_clients_reach_the_gateway_whatever_its_service(settings: Any, network: Network) -> None:
    assert network.allows(OUTSIDE, part("gateway"), route(settings).api_port)


@pytest.mark.parametrize(
    ("key", "name", "port"),
    [
        ("prometheus_node_port", "prometheus", prometheus.PORT),
        ("alertmanager_node_port", "alertmanager", alertmanager.PORT),
    ],
)
def test_without_a_node_port_nobody_outside_reaches_it(settings: Any, key: str, name: str, port: int) -> None:
    assert Network(settings).allows(OUTSIDE, part(name), port)
    monitoring = settings.monitoring.model_copy(update={key: None})
    inside = Network(settings.model_copy(update={"monitoring": monitoring}))
    assert not inside.allows(OUTSIDE, part(name), port)
    assert not inside.allows(part("stray"), part(name), port)


@pytest.mark.parametrize(
    ("key", "sender"),
    [("alert_webhook_url", "alertmanager"), ("watchdog_url", "alertmanager"), ("remote_write_url", "prometheus")],
)
@pytest.mark.parametrize(
    ("url", "port"),
    [("http://hooks.site", 80), ("https://hooks.site/a", 443), ("https://hooks.site:8443/a", 8443)],
)
def test_alerts_and_series_leave_by_the_port_of_their_receiver_alone(
    settings: Any, key: str, sender: str, url: str, port: int
) -> None:
    monitoring = settings.monitoring.model_copy(update={key: url})
    network = Network(settings.model_copy(update={"monitoring": monitoring}))
    assert [p for p in (80, 443, 8443) if network.allows(part(sender), OUTSIDE, p)] == [port]


def test_ranks_of_one_group_reach_each_other_at_any_port_and_no_other_group(local: dict[str, Any]) -> None:
    entry = {key: value for key, value in local["models"][0].items() if key not in ("plan", "spareReplicas")}
    sizes = {"gpusPerReplica": 2, "nodesPerReplica": 2, "replicas": 2, "maxModelLen": 2048}
    entry |= {**sizes, "extraArgs": ["--tensor-parallel-size", "2"]}
    settings = config.parse({**local, "models": [entry]})
    network = Network(settings)
    first, second = (model_group.labels(settings.models[0], replica) for replica in (0, 1))
    for port in (8082, 29500, 45_123):
        assert network.allows(first, first, port)
        assert not network.allows(first, second, port)
        assert not network.allows(OUTSIDE, first, port)
    assert network.allows(part("gateway"), first, 8080)


def test_every_pod_may_ask_the_clusters_name_servers_alone(network: Network) -> None:
    [closed] = [policy for policy in network.policies if policy["spec"]["podSelector"] == {}]
    assert closed["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closed["spec"]
    [rule] = closed["spec"]["egress"]
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {("UDP", 53), ("TCP", 53)}
    [peer] = rule["to"]
    assert peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}


def test_without_node_ports_nobody_outside_reaches_monitoring(local: dict[str, Any]) -> None:
    closed = {key: value for key, value in local["monitoring"].items() if not key.endswith("NodePort")}
    network = Network(config.parse({**local, "monitoring": closed}))
    for other in (OUTSIDE, part("stray"), part("gateway")):
        assert not network.allows(other, part("prometheus"), 9090)
        assert not network.allows(other, part("alertmanager"), 9093)


@pytest.mark.parametrize("key", ["prometheusNodePort", "alertmanagerNodePort"])
def test_a_port_that_asks_for_no_login_is_refused_unless_it_is_accepted_by_name(
    local: dict[str, Any], key: str
) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**local, "monitoring": {key: 30090}})
    [problem] = caught.value.problems
    assert problem.keys == (f"monitoring.{key}", "monitoring.acceptNoLogin")
    assert config.parse({**local, "monitoring": {key: 30090, "acceptNoLogin": True}})
