"""Monthly measurements: a CronJob that asks the live endpoint, and the server of their history.

The job sends its results to the server, which alone has the volume. No suite that runs generated code is among them:
its sandbox needs user namespaces, which the seccomp profile of the stack's pods forbids.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from qwen_stack.settings.evaluation import Evaluation
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import manifest, model_server
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.manifest import (
    GPU_NODES,
    GPU_TOLERATIONS,
    NO_CLUSTER_ACCESS,
    NO_GPUS,
    Manifest,
    app,
    container_security,
    metadata,
    pod_security,
    probe,
    service,
)

NAME, HISTORY = "evaluation", "evaluation-history"
PORT = 9108
DATA_DIR, RESULTS_DIR, KEY_DIR, CA_DIR = "/var/lib/evaluation", "/results", "/etc/evaluation", "/etc/evaluation-ca"
KEY_FILE, CA_FILE = "key", "ca.crt"
ROOM = "1Gi"
# A suite that hangs must not run into the next one.
LONGEST_S = 6 * 3600


def labels() -> dict[str, str]:
    """Labels of the measuring pod, which gives way to those that serve."""
    return {**app(NAME), model_server.PRIORITY: "batch"}


def key_secret(key: object) -> Manifest:
    """Secret with the client's key; `key` is its text in base64, or a pulumi Output of it."""
    data = {KEY_FILE: key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(f"{NAME}-key"), "type": "Opaque", "data": data}


def endpoint(settings: Settings, evaluation: Evaluation) -> str:
    """Address that the job asks: without one of its own the gateway's service, whose port is that of HTTP."""
    return f"{evaluation.endpoint or f'http://{gateway.NAME}.{settings.service_domain}'}/v1"


def endpoint_port(evaluation: Evaluation) -> int | None:
    """Port outside the cluster that the job asks; None where it asks the gateway's own service."""
    if evaluation.endpoint is None:
        return None
    return urlsplit(evaluation.endpoint).port or 443


def cron_job(settings: Settings, evaluation: Evaluation) -> Manifest:
    """Suites run one after the other, each in a container; the last one sends all results or none."""
    common = [
        f"--endpoint={endpoint(settings, evaluation)}",
        f"--model={evaluation.model or settings.models[0].served_name}",
        f"--api-key-file={KEY_DIR}/{KEY_FILE}",
        f"--hardware={evaluation.hardware}",
    ]
    slo = f"--slo-first-token-s={settings.monitoring.objectives.first_token_seconds:g}"
    suites = {
        "tools": ["evaluate", "tools", *common, "--users=2", f"--max-tokens={evaluation.tool_tokens}"],
        "bench": ["bench", *common, slo, *evaluation.load],
    }
    files = {name: f"{RESULTS_DIR}/{name}.json" for name in suites}
    send = ["history", "add", *files.values(), f"--history=http://{HISTORY}.{settings.service_domain}:{PORT}"]
    steps = [_step(settings, evaluation, name, [*suites[name], f"--output={files[name]}"]) for name in suites]
    pod = {
        **NO_CLUSTER_ACCESS,
        "restartPolicy": "Never",
        "nodeSelector": GPU_NODES,
        "tolerations": GPU_TOLERATIONS,
        "securityContext": pod_security(),
        "initContainers": steps,
        "containers": [_step(settings, evaluation, "send", send)],
        "volumes": [
            {"name": "results", "emptyDir": {"sizeLimit": ROOM}},
            {"name": "key", "secret": {"secretName": f"{NAME}-key", "defaultMode": 0o440}},
            *([{"name": "ca", "secret": {"secretName": evaluation.ca_secret}}] if evaluation.ca_secret else []),
        ],
    }
    job = {
        "backoffLimit": 1,
        "activeDeadlineSeconds": LONGEST_S,
        "template": {"metadata": {"labels": labels()}, "spec": pod},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(NAME),
        "spec": {
            "schedule": evaluation.schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 2,
            "jobTemplate": {"spec": job},
        },
    }


def history(image: str, on_volume: bool) -> Manifest:
    """One pod: SQLite has one writer."""
    data = {"persistentVolumeClaim": {"claimName": HISTORY}} if on_volume else {"emptyDir": {"sizeLimit": ROOM}}
    pod = {
        **NO_CLUSTER_ACCESS,
        # Their image is on the hosts of the model servers; a volume binds the pod to its own host.
        **({} if on_volume else {"nodeSelector": GPU_NODES}),
        "tolerations": GPU_TOLERATIONS,
        "securityContext": pod_security(),
        "containers": [_server(image)],
        "volumes": [{"name": "data", **data}],
    }
    return manifest.deployment(HISTORY, pod)


def discovery() -> Manifest:
    """Service whose name is the address of the pod, for Prometheus and for the job."""
    return service(HISTORY, {"http": PORT}, clusterIP="None")


def _step(settings: Settings, evaluation: Evaluation, name: str, arguments: list[str]) -> Manifest:
    ca = [{"name": "ca", "mountPath": CA_DIR, "readOnly": True}] if evaluation.ca_secret else []
    trust = [{"name": "SSL_CERT_FILE", "value": f"{CA_DIR}/{CA_FILE}"}] if evaluation.ca_secret else []
    return {
        "name": name,
        "image": settings.images.runtime,
        "args": arguments,
        "env": [*NO_GPUS, *trust],
        "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "results", "mountPath": RESULTS_DIR},
            {"name": "key", "mountPath": KEY_DIR, "readOnly": True},
            *ca,
        ],
    }


def _server(image: str) -> Manifest:
    return {
        "name": "history",
        "image": image,
        "args": ["history", "serve", f"--history={DATA_DIR}/history.sqlite", "--host=0.0.0.0", f"--port={PORT}"],
        "env": NO_GPUS,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe("/health", "http", period_s=5, failures=3),
        "livenessProbe": probe("/health", "http", period_s=20, failures=3),
        "securityContext": container_security(),
        "volumeMounts": [{"name": "data", "mountPath": DATA_DIR}],
    }
