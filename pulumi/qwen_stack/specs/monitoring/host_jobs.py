"""Targets of Prometheus on the hosts themselves, at the addresses that the stack's file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.specs.alerts import cluster_rules, host_rules
from qwen_stack.specs.alerts.cluster_rules import API, API_PORT, CONTAINERS, ETCD, ETCD_PORT, KUBELET, KUBELET_PORT
from qwen_stack.specs.alerts.host_rules import NODE_EXPORTER, NODE_EXPORTER_PORT
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.monitoring.cluster_access import TOKEN_DIR

# An API server writes tens of thousands of lines, nearly all of which are thrown away: it is asked less often.
SLOWEST_SECONDS = 30
TOKEN = {"authorization": {"credentials_file": f"{TOKEN_DIR}/token"}}
VERIFIED = {"tls_config": {"ca_file": f"{TOKEN_DIR}/ca.crt"}}
# A kubelet signs its certificate itself unless somebody approves each of them; the token that it could get reads
# measurements and nothing else.
UNVERIFIED = {"tls_config": {"insecure_skip_verify": True}}


def jobs(monitoring: Monitoring, namespace: str) -> Iterator[Manifest]:
    """Jobs of all hosts, then those of the control plane; none where no host is named."""
    hosts, seldom = monitoring.hosts, max(monitoring.scrape_seconds, SLOWEST_SECONDS)
    control_plane = {name: hosts[name] for name in monitoring.control_plane_hosts if name in hosts}
    if hosts:
        yield _job(NODE_EXPORTER, hosts, NODE_EXPORTER_PORT, metric_relabel_configs=host_rules.kept())
        kubelet = {"scheme": "https", **TOKEN, **UNVERIFIED}
        yield _job(KUBELET, hosts, KUBELET_PORT, **kubelet, metric_relabel_configs=[cluster_rules.kept(KUBELET)])
        containers = [cluster_rules.kept(CONTAINERS), cluster_rules.kept_containers(namespace)]
        # The kubelet writes times of its own, which a wrong clock puts out of Prometheus' reach.
        path = {"metrics_path": "/metrics/cadvisor", "scrape_interval": f"{seldom}s", "honor_timestamps": False}
        yield _job(CONTAINERS, hosts, KUBELET_PORT, **kubelet, **path, metric_relabel_configs=containers)
    if control_plane:
        server = {"scheme": "https", **TOKEN, **VERIFIED, "scrape_interval": f"{seldom}s"}
        yield _job(API, control_plane, API_PORT, **server, metric_relabel_configs=[cluster_rules.kept(API)])
        yield _job(ETCD, control_plane, ETCD_PORT, metric_relabel_configs=[cluster_rules.kept(ETCD)])


def ports(monitoring: Monitoring) -> Iterator[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """Name, addresses and ports of the hosts that the jobs ask, for the network policies."""
    hosts = monitoring.hosts
    if hosts:
        yield "hosts", tuple(hosts.values()), (NODE_EXPORTER_PORT, KUBELET_PORT)
    if monitoring.control_plane_hosts:
        yield "control-plane", tuple(hosts[name] for name in monitoring.control_plane_hosts), (API_PORT, ETCD_PORT)


def _job(name: str, hosts: Mapping[str, str], port: int, **options: object) -> Manifest:
    targets = [{"targets": [f"{address}:{port}"], "labels": {"node": node}} for node, address in hosts.items()]
    return {"job_name": name, "static_configs": targets, **options}
