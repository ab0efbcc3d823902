"""The monitoring component: GPU metrics, Prometheus with its rules, Alertmanager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings import Images
from qwen_stack.settings import Monitoring as MonitoringSettings
from qwen_stack.specs import alertmanager, dcgm_exporter, prometheus, single_pod
from qwen_stack.specs.single_pod import SinglePod


@dataclass(frozen=True, slots=True)
class MonitoringArgs:
    """`servers` are the services of the model servers. Prometheus finds their pods by DNS: `service_domain` is what
    follows the name of a service there. `limited` tells whether there is a limiter."""

    namespace: pulumi.Input[str]
    service_domain: str
    servers: Sequence[str]
    monitoring: MonitoringSettings
    images: Images
    runtime_class: str
    limited: bool = False


class Monitoring(pulumi.ComponentResource):
    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:monitoring:Monitoring", name, None, opts)
        create(dcgm_exporter.daemon_set(args.images.dcgm_exporter, args.runtime_class), self, args.namespace)
        create(dcgm_exporter.discovery(), self, args.namespace)
        alerts = alertmanager.server(args.monitoring)
        self._single_pod(alerts, args.images.alertmanager, args.namespace)
        metrics = prometheus.server(args.monitoring, args.service_domain, args.servers, args.limited)
        self.prometheus_service_name = self._single_pod(metrics, args.images.prometheus, args.namespace)
        self.register_outputs({"prometheus_service_name": self.prometheus_service_name})

    def _single_pod(self, server: SinglePod, image: str, namespace: pulumi.Input[str]) -> pulumi.Output[str]:
        """Returns the name of the server's service."""
        config = create(single_pod.config(server), self, namespace)
        create(single_pod.deployment(server, image), self, namespace, depends_on=[config])
        return name_of(create(single_pod.service(server), self, namespace))
