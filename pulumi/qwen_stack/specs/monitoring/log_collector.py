"""vlagent: one pod on each host, which reads the log files of the stack's containers and sends them to VictoriaLogs."""

from __future__ import annotations

from qwen_stack.settings.stack import Settings
from qwen_stack.specs import manifest, rights
from qwen_stack.specs.local_volume import local_volume, volume_name
from qwen_stack.specs.manifest import Manifest, container_security, metadata, pod_security, probe, service
from qwen_stack.specs.monitoring import logs, scrape_jobs
from qwen_stack.specs.rights import CLUSTER_ROLE

NAME, PORT = scrape_jobs.COLLECTOR, scrape_jobs.COLLECTOR_PORT
DATA_DIR = "/data"
# Kubelets keep the files of each container in the second folder, and links to them with readable names in the first.
FOLDERS = {"log-containers": "/var/log/containers", "log-pods": "/var/log/pods"}
NOMINAL_SIZE = "1Gi"
EVERY_HOST = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
# Lines that wait for VictoriaLogs; vlagent takes no smaller bound.
BUFFER_BYTES, BUFFER_LIMIT = 500_000_000, "1Gi"


def arguments(settings: Settings) -> list[str]:
    return [
        f"-httpListenAddr=:{PORT}",
        f"-tmpDataPath={DATA_DIR}",
        f"-remoteWrite.url=http://{logs.NAME}.{settings.service_domain}:{logs.PORT}/insert/native",
        f"-remoteWrite.maxDiskUsagePerURL={BUFFER_BYTES}",
        "-kubernetesCollector",
        f'-kubernetesCollector.excludeFilter=!kubernetes.pod_namespace:="{settings.namespace}"',
        "-kubernetesCollector.includePodLabels=false",
    ]


def account() -> Manifest:
    """Account whose token only the collectors mount."""
    return rights.account(NAME, automountServiceAccountToken=False)


def role(namespace: str) -> Manifest:
    """Rights to know which pods run on the collector's own host, which Kubernetes gives for all hosts or none."""
    return rights.role(
        CLUSTER_ROLE,
        rights.in_cluster(NAME, namespace),
        [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
            # It starts only with the names of all namespaces, whichever lines it takes.
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        ],
    )


def binding(namespace: str) -> Manifest:
    return rights.binding(CLUSTER_ROLE, rights.in_cluster(NAME, namespace), NAME, namespace)


def volumes(namespace: str) -> list[Manifest]:
    """The folders of every host, as volumes that pods may only read."""
    hosts, mode = [EVERY_HOST], "ReadOnlyMany"
    return [
        local_volume(claim, namespace, path=path, size=NOMINAL_SIZE, mode=mode, hosts=hosts)
        for claim, path in FOLDERS.items()
    ]


def claims(namespace: str) -> list[Manifest]:
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(claim),
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": "",
                "volumeName": volume_name(claim, namespace),
                "resources": {"requests": {"storage": NOMINAL_SIZE}},
            },
        }
        for claim in FOLDERS
    ]


def daemon_set(settings: Settings) -> Manifest:
    pod: Manifest = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        # Log files belong to root, and their group may read them.
        "securityContext": {**_without_group(pod_security()), "runAsGroup": 0},
        "containers": [_container(settings)],
        "volumes": [
            *({"name": c, "persistentVolumeClaim": {"claimName": c, "readOnly": True}} for c in FOLDERS),
            {"name": "data", "emptyDir": {"sizeLimit": BUFFER_LIMIT}},
        ],
    }
    return manifest.daemon_set(NAME, pod)


def discovery() -> Manifest:
    """Service whose name resolves to every collector, for Prometheus."""
    return service(NAME, {"http": PORT}, clusterIP="None")


def _without_group(security: Manifest) -> Manifest:
    """Security of a pod whose volumes keep their group."""
    return {key: value for key, value in security.items() if key != "fsGroup"}


def _container(settings: Settings) -> Manifest:
    return {
        "name": NAME,
        "image": settings.images.vlagent,
        "args": arguments(settings),
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe("/health", "http", period_s=5, failures=3),
        "livenessProbe": probe("/health", "http", period_s=15, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            *({"name": claim, "mountPath": path, "readOnly": True} for claim, path in FOLDERS.items()),
            {"name": "data", "mountPath": DATA_DIR},
        ],
    }
