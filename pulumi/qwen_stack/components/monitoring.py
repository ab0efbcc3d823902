"""The monitoring component: GPU metrics, Prometheus with its rules, Alertmanager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings import Images
from qwen_stack.settings import Monitoring as MonitoringSettings
from qwen_stack.specs import alertmanager, dcgm_exporter, prometheus


@dataclass(frozen=True, slots=True)
class MonitoringArgs:
    """`servers` are the services of the model servers; `service_domain` stands behind the name of a service in DNS,
    where Prometheus finds the pods."""

    namespace: pulumi.Input[str]
    service_domain: str
    servers: Sequence[str]
    monitoring: MonitoringSettings
    images: Images
    runtime_class: str


class Monitoring(pulumi.ComponentResource):
    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:monitoring:Monitoring", name, None, opts)
        create(dcgm_exporter.daemon_set(args.images.dcgm_exporter, args.runtime_class), self, args.namespace)
        create(dcgm_exporter.discovery(), self, args.namespace)
        self._alertmanager(args)
        self.prometheus_service_name = self._prometheus(args)
        self.register_outputs({"prometheus_service_name": self.prometheus_service_name})

    def _alertmanager(self, args: MonitoringArgs) -> None:
        files = alertmanager.files(args.monitoring)
        config = create(files, self, args.namespace)
        create(alertmanager.deployment(args.images.alertmanager, files), self, args.namespace, depends_on=[config])
        create(alertmanager.alertmanager_service(args.monitoring), self, args.namespace)

    def _prometheus(self, args: MonitoringArgs) -> pulumi.Output[str]:
        files = prometheus.files(args.monitoring, args.service_domain, args.servers)
        config = create(files, self, args.namespace)
        deployment = prometheus.deployment(args.monitoring, args.images.prometheus, files)
        create(deployment, self, args.namespace, depends_on=[config])
        service = create(prometheus.prometheus_service(args.monitoring), self, args.namespace)
        return name_of(service)
