"""The monitoring component: GPU metrics, Prometheus with its rules, Alertmanager."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings import Settings
from qwen_stack.specs import alertmanager, dcgm_exporter, prometheus, single_pod
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.single_pod import SinglePod


@dataclass(frozen=True, slots=True)
class MonitoringArgs:
    namespace: pulumi.Input[str]
    settings: Settings


class Monitoring(pulumi.ComponentResource):
    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:monitoring:Monitoring", name, None, opts)
        settings, images = args.settings, args.settings.images
        counters = create(dcgm_exporter.counters(), self, args.namespace)
        exporter = dcgm_exporter.daemon_set(images.dcgm_exporter, settings.gpu_runtime_class)
        create(exporter, self, args.namespace, depends_on=[counters])
        create(dcgm_exporter.discovery(), self, args.namespace)
        self._single_pod(alertmanager.server(settings.monitoring), images.alertmanager, args.namespace)
        self.prometheus_service_name = self._single_pod(prometheus.server(settings), images.prometheus, args.namespace)
        self.register_outputs({"prometheus_service_name": self.prometheus_service_name})

    def _single_pod(self, server: SinglePod, image: str, namespace: pulumi.Input[str]) -> pulumi.Output[str]:
        """Returns the name of the server's service."""
        config = create(self._config(server), self, namespace)
        create(single_pod.deployment(server, image), self, namespace, depends_on=[config])
        return name_of(create(single_pod.service(server), self, namespace))

    @staticmethod
    def _config(server: SinglePod) -> Manifest:
        if not server.secret:
            return single_pod.config(server)
        return single_pod.secret_config(server, pulumi.Output.secret(single_pod.encoded_files(server)))
