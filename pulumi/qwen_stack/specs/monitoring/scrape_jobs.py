"""Targets of Prometheus: every pod that a headless service lists, found by DNS, and the single servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qwen_stack.settings.stack import Settings
from qwen_stack.specs import evaluation, limits, model_server
from qwen_stack.specs.gateway import routes, weights
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.monitoring import alertmanager, dcgm_exporter, host_jobs

PROMETHEUS, PROMETHEUS_PORT = "prometheus", 9090
REPAIR, REPAIR_PORT = "repair", 8092
LOGS, LOGS_PORT, COLLECTOR, COLLECTOR_PORT = "logs", 9428, "log-collector", 9429
MODEL_SERVERS, SUPERVISORS = "model-server", "supervisor"
# Their targets come and go with rollouts; alerts count them against what is planned.
REPLICATED = (gateway.NAME, MODEL_SERVERS, SUPERVISORS)
# Many times what each target writes: a label that grows without bound is refused before it fills the memory.
MOST_SERIES = 20_000
SERVER_OF_NAME = {"source_labels": ["__meta_dns_name"], "regex": r"([^.]+)\..*", "target_label": "server"}
NODE_OF_GPU = {"source_labels": ["Hostname"], "target_label": "node"}


def scrape_configs(settings: Settings) -> list[Manifest]:
    domain = settings.service_domain
    servers = [model.server for model in settings.models]
    watched = [model_server.watched_name(model) for model in settings.models]
    variants = _variants(settings, "server")
    limiter = [_pods(limits.NAME, [limits.NAME], limits.PORT, domain)] if settings.gateway.limits else []
    history = [_pods(evaluation.HISTORY, [evaluation.HISTORY], evaluation.PORT, domain)] if settings.evaluation else []
    repair = [_pods(REPAIR, [REPAIR], REPAIR_PORT, domain)] if settings.repair else []
    collectors = _pods(COLLECTOR, [COLLECTOR], COLLECTOR_PORT, domain)
    logs = [_single(LOGS, f"{LOGS}:{LOGS_PORT}"), collectors] if settings.logs else []
    return [
        _pods(
            gateway.NAME,
            [gateway.METRICS_NAME],
            routes.METRICS_PORT,
            domain,
            metric_relabel_configs=_variants(settings, "envoy_cluster_name"),
        ),
        *limiter,
        *history,
        *repair,
        *logs,
        _pods(
            MODEL_SERVERS,
            servers,
            model_server.API_PORT,
            domain,
            relabel_configs=[SERVER_OF_NAME, *variants],
        ),
        _pods(
            SUPERVISORS,
            watched,
            model_server.HEALTH_PORT,
            domain,
            relabel_configs=[_server_of_watched(), *variants],
        ),
        _pods(
            dcgm_exporter.NAME,
            [dcgm_exporter.NAME],
            dcgm_exporter.PORT,
            domain,
            metric_relabel_configs=[NODE_OF_GPU],
        ),
        *({**job, "sample_limit": MOST_SERIES} for job in host_jobs.jobs(settings.monitoring, settings.namespace)),
        _single(PROMETHEUS, f"localhost:{PROMETHEUS_PORT}"),
        {"job_name": alertmanager.NAME, "sample_limit": MOST_SERIES, **alertmanagers(settings)},
    ]


def alertmanagers(settings: Settings) -> Manifest:
    """Discovery of every Alertmanager: several have a name that lists all."""
    if settings.monitoring.alertmanager_replicas == 1:
        return {"static_configs": [{"targets": [f"{alertmanager.NAME}:{alertmanager.PORT}"]}]}
    return {"dns_sd_configs": [_by_name([f"{alertmanager.NAME}-peers"], alertmanager.PORT, settings.service_domain)]}


def _variants(settings: Settings, label: str) -> list[Mapping[str, object]]:
    """Rules that name the variant of each series whose label names its server."""
    return [
        {
            "source_labels": [label],
            "regex": f"({weights.SHARE})?{model.server}({weights.BETWEEN}.*)?",
            "target_label": "variant",
            "replacement": model.variant,
        }
        for model in settings.models
        if model.variant
    ]


def jobs(settings: Settings) -> list[str]:
    """Names of all jobs."""
    return [job["job_name"] for job in scrape_configs(settings)]


def _server_of_watched() -> Mapping[str, object]:
    return {**SERVER_OF_NAME, "regex": rf"([^.]+){model_server.WATCHED_SUFFIX}\..*"}


def _pods(name: str, services: Sequence[str], port: int, domain: str, **options: Sequence[object]) -> Manifest:
    """Job for every pod that headless services list; `domain` follows their names in DNS."""
    discovery = [_by_name(services, port, domain)]
    return {"job_name": name, "sample_limit": MOST_SERIES, "dns_sd_configs": discovery, **options}


def _by_name(services: Sequence[str], port: int, domain: str) -> Manifest:
    names = [f"{service}.{domain}." for service in services]
    return {"names": names, "type": "A", "port": port, "refresh_interval": "10s"}


def _single(name: str, target: str) -> Manifest:
    return {"job_name": name, "sample_limit": MOST_SERIES, "static_configs": [{"targets": [target]}]}
