"""Shape of the key `monitoring` of a stack's configuration."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import AfterValidator, Field

from qwen_stack.settings.section import DnsName, MemoryQuantity, NodePort, PrometheusDuration, Section

# An error budget that burns 14.4 times too fast must be able to show: above 1 - 1 / 14.4 no share of errors does.
Share = Annotated[float, Field(ge=0.94, lt=1)]

HostAddress = Annotated[str, AfterValidator(lambda text: str(IPv4Address(text)))]


class Objectives(Section):
    """Promises of the site. A threshold in seconds must be a bound of the engines' histograms."""

    availability: Share = 0.999
    """Share of requests that are answered without an error of the site; a client's own faults do not count."""
    first_token_seconds: float = Field(default=10, gt=0)
    """Time to the first token that `firstTokenShare` of the requests keep: a bound of the engine's histogram."""
    first_token_share: Share = 0.95
    """Share of requests within `firstTokenSeconds`."""
    inter_token_seconds: float = Field(default=0.2, gt=0)
    """Time between two tokens that `interTokenShare` of the tokens keep: a bound of the engine's histogram."""
    inter_token_share: Share = 0.95
    """Share of tokens within `interTokenSeconds`."""
    answer_seconds: float = Field(default=240, gt=0)
    """Time to the last token that `answerShare` of the requests keep: a bound of the engine's histogram."""
    answer_share: Share = 0.95
    """Share of requests within `answerSeconds`."""


class Storage(Section):
    """Volume that keeps Prometheus' data, and that of a single Alertmanager: one of a class, or a host's own disk."""

    class_name: DnsName | None = None
    """Storage class of the cluster that makes volumes for monitoring."""
    host: DnsName | None = None
    """Host whose disk holds the data; Prometheus, a single Alertmanager and VictoriaLogs run there alone."""
    path: str = Field(default="/var/lib/qwen/monitoring", pattern=r"^/[^\s:]*[^\s:/]$")
    """Folder on this host with the folders prometheus, alertmanager and, with `logs`, logs. They belong to the user
    10001."""


class Monitoring(Section):
    prometheus_node_port: NodePort | None = None
    """Port of Prometheus on every node's address; without it, inside the cluster only. It asks for no login: whoever
    reaches a node can read every metric, so `acceptNoLogin` is needed."""
    alertmanager_node_port: NodePort | None = None
    """The same for Alertmanager, where whoever reaches a node can silence alerts too."""
    accept_no_login: bool = False
    """Whether these ports may be open to whoever reaches a node."""
    scrape_seconds: int = Field(default=15, ge=1, le=120)
    """Time between two measurements."""
    retention: PrometheusDuration = "15d"
    """Age at which Prometheus drops data."""
    storage_limit: MemoryQuantity = "8Gi"
    """Room for Prometheus' data. It drops the oldest before four fifths of it are full."""
    hosts: dict[DnsName, HostAddress] = Field(default={}, examples=["{gpu1: 10.20.0.21}"])
    """Addresses of the site's hosts by the names of their nodes: role `node_exporter` answers there. Without it nothing
    is known of disks, arrays, network cards, memory, services and kubelets."""
    control_plane_hosts: tuple[DnsName, ...] = ()
    """Those of `hosts` that run the API and etcd."""
    backup_hours: int = Field(default=13, ge=1)
    """Age of the newest snapshot of etcd above which the alert BackupOld fires: twice the time between two."""
    storage: Storage | None = None
    """Volume that outlives its pods. Without it the data ends with the pod, as in every drain."""
    alertmanager_replicas: int = Field(default=1, ge=1, le=2)
    """Number of Alertmanagers; two tell each other what was sent and silenced, and one may be lost."""
    dashboards: bool = False
    """Whether a pod serves the dashboards as a read-only page inside the cluster, for sites without a Grafana."""
    gpu_utilization_threshold: float = Field(default=0.9, gt=0, lt=1)
    """Average utilisation above which the alert HighGPUUsage fires, while requests wait."""
    gpus_per_host: int = Field(default=8, ge=1, le=16)
    """GPUs that each GPU host has; the alert GpuLost fires where one has fewer."""
    objectives: Objectives = Objectives()
    alert_webhook_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Secret address to which alerts are sent; without it they are shown and sent nowhere."""
    remote_write_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Secret address to which Prometheus sends `serving:*`, `up` and its alerts, for a store of several sites."""
    watchdog_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Secret address to which the alert Watchdog is sent every five minutes: a receiver that calls when it stops."""
