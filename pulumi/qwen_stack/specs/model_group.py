"""Manifests of replicas that take several hosts: groups of pods that start, fail and restart together.

A replica is a StatefulSet: a pod's ordinal is its rank, and rank 0 answers the API. When one pod of the group ends, the
supervisors of the others end too (`qwen-runtime serve --nodes`), so that all start again and join a new group.
"""

from __future__ import annotations

from qwen_stack.settings.stack import Model
from qwen_stack.specs import model_server
from qwen_stack.specs.manifest import Manifest, app, metadata, service
from qwen_stack.specs.model_server import API_PORT, HEALTH_PORT, LEARN_S, READINESS_PERIOD_S

GROUP_PORT = 8082
RENDEZVOUS_PORT = 29500
REPLICA = "qwen-onprem/replica"
# The StatefulSet controller sets it on each pod.
ORDINAL = "apps.kubernetes.io/pod-index"


def numbers(model: Model) -> range:
    """Numbers of the groups that there may be at once."""
    return range(model.autoscaling.max if model.autoscaling else model.replicas)


def name_of(model: Model, replica: int) -> str:
    return f"{model.server}-{replica}"


def labels(model: Model, replica: int) -> dict[str, str]:
    return {**app(model.server), REPLICA: str(replica)}


def container(model: Model, image: str, replica: int) -> Manifest:
    group = model_server.compile_cache(model, image)
    group += ["--nodes", str(model.nodes_per_replica), "--node-rank", "$(NODE_RANK)"]
    group += ["--leader-address", f"{name_of(model, replica)}-0.{name_of(model, replica)}"]
    group += ["--group-port", str(GROUP_PORT), "--rendezvous-port", str(RENDEZVOUS_PORT)]
    group += ["--join-seconds", str(model.startup_seconds)]
    server = model_server.container(model, image)
    rdma = {model.rdma_resource: "1"} if model.rdma_resource else {}
    return {
        **server,
        "args": model_server.arguments(model, group),
        "env": [
            {"name": "NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{ORDINAL}']"}}},
            # vLLM finds its own address by the route out, which hosts without internet may not have.
            {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *server["env"],
        ],
        "ports": [*server["ports"], {"name": "group", "containerPort": GROUP_PORT}],
        "resources": {kind: {**amounts, **rdma} for kind, amounts in server["resources"].items()},
        # The next group is changed when Kubernetes counts this one as ready; by then the gateway has checked it.
        "readinessProbe": {**server["readinessProbe"], "successThreshold": LEARN_S // READINESS_PERIOD_S},
    }


def stateful_set(model: Model, image: str, replica: int, runtime_class: str) -> Manifest:
    template = model_server.pod_template(model, image, container(model, image, replica), runtime_class)
    template["metadata"]["labels"] |= labels(model, replica)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            **metadata(name_of(model, replica)),
            **(model_server.OWN_NUMBER if replica < model.fewest_replicas else {}),
        },
        "spec": {
            "replicas": model.nodes_per_replica,
            "serviceName": name_of(model, replica),
            # No pod of a group is ready before all of them run.
            "podManagementPolicy": "Parallel",
            # Pods of two versions cannot work as one group: a change replaces the whole set.
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": labels(model, replica)},
            "template": template,
        },
    }


def meeting_point(model: Model, replica: int) -> Manifest:
    """Service that gives each pod of a group a name in DNS before it is ready: none is ready until all have joined."""
    return service(
        name_of(model, replica),
        {"group": GROUP_PORT},
        selector=labels(model, replica),
        clusterIP="None",
        publishNotReadyAddresses=True,
    )


def discovery(model: Model) -> Manifest:
    """Service whose name resolves to rank 0 of every group, because the other ranks answer no requests.

    It lists ranks that are not ready too: the gateway checks each itself, and must know a new group before the next
    one ends."""
    return service(
        model.server,
        {"http": API_PORT, "health": HEALTH_PORT},
        selector={**app(model.server), ORDINAL: "0"},
        clusterIP="None",
        publishNotReadyAddresses=True,
    )
