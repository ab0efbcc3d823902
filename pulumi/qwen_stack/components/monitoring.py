"""The monitoring component: GPU metrics, Prometheus with its rules, Alertmanager; logs and dashboards where wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import volumes
from qwen_stack.specs.manifest import Manifest, disruption_budget
from qwen_stack.specs.monitoring import (
    alertmanager,
    cluster_access,
    dashboards,
    dcgm_exporter,
    log_collector,
    logs,
    prometheus,
    single_pod,
)
from qwen_stack.specs.monitoring.single_pod import SinglePod


@dataclass(frozen=True, slots=True)
class MonitoringArgs:
    namespace: pulumi.Input[str]
    settings: Settings


class Monitoring(pulumi.ComponentResource):
    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:monitoring:Monitoring", name, None, opts)
        settings, images = args.settings, args.settings.images
        counters = create(dcgm_exporter.counters(), self, args.namespace)
        often = settings.monitoring.scrape_seconds
        exporter = dcgm_exporter.daemon_set(images.dcgm_exporter, settings.gpu_runtime_class, often)
        create(exporter, self, args.namespace, depends_on=[counters])
        create(dcgm_exporter.discovery(), self, args.namespace)
        self._server(alertmanager.server(settings), images.alertmanager, args)
        account = self._account(args) if settings.monitoring.hosts else []
        if settings.logs:
            assert images.victoria_logs
            self._server(logs.server(settings), images.victoria_logs, args)
            self._collector(args)
        self.prometheus_service_name = self._server(prometheus.server(settings), images.prometheus, args, account)
        if settings.monitoring.dashboards:
            pages = create(dashboards.config(settings), self, args.namespace)
            create(dashboards.deployment(settings), self, args.namespace, depends_on=[pages])
            create(dashboards.discovery(), self, args.namespace)
        self.register_outputs({"prometheus_service_name": self.prometheus_service_name})

    def _account(self, args: MonitoringArgs) -> list[pulumi.Resource]:
        """Account with which Prometheus asks kubelets and API servers."""
        namespace = args.settings.namespace
        create(cluster_access.role(namespace), self)
        create(cluster_access.binding(namespace), self)
        return [create(cluster_access.account(), self, args.namespace)]

    def _collector(self, args: MonitoringArgs) -> None:
        """Collectors, which know their host's pods by an account and read its log files."""
        namespace = args.settings.namespace
        create(log_collector.role(namespace), self)
        create(log_collector.binding(namespace), self)
        folders = [create(volume, self) for volume in log_collector.volumes(namespace)]
        claims = [create(claim, self, args.namespace, depends_on=folders) for claim in log_collector.claims(namespace)]
        before = [create(log_collector.account(), self, args.namespace), *claims]
        create(log_collector.daemon_set(args.settings), self, args.namespace, depends_on=before)
        create(log_collector.discovery(), self, args.namespace)

    def _server(
        self, server: SinglePod, image: str, args: MonitoringArgs, after: Sequence[pulumi.Resource] = ()
    ) -> pulumi.Output[str]:
        """Returns the name of the server's service."""
        files = [create(self._config(server), self, args.namespace)] if server.files else []
        before = [*after, *files, *self._volume(server, args)]
        create(single_pod.deployment(server, image), self, args.namespace, depends_on=before)
        peers = single_pod.peers(server)
        if peers:
            create(peers, self, args.namespace)
            create(disruption_budget(server.name), self, args.namespace)
        return name_of(create(single_pod.service(server), self, args.namespace))

    def _volume(self, server: SinglePod, args: MonitoringArgs) -> list[pulumi.Resource]:
        storage, namespace = args.settings.monitoring.storage, args.settings.namespace
        if storage is None or not server.on_volume:
            return []
        folder = volumes.host_folder(server.name, namespace, server.data_limit, storage)
        made: list[pulumi.Resource] = [create(folder, self)] if folder else []
        claim = volumes.claim(server.name, namespace, server.data_limit, storage)
        return [*made, create(claim, self, args.namespace, depends_on=made)]

    @staticmethod
    def _config(server: SinglePod) -> Manifest:
        if not server.secret:
            return single_pod.config(server)
        return single_pod.secret_config(server, pulumi.Output.secret(single_pod.encoded_files(server)))
