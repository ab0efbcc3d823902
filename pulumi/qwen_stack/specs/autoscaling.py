"""KEDA's objects for a model whose number of replicas follows its requests.

KEDA asks Prometheus for the two series of alerts/scaling_rules.py, and Kubernetes' autoscaler (HPA) computes from each
`ceil(value / threshold)` replicas and takes the larger number. Where a value is missing, nothing ends.

A replica of several pods is a StatefulSet, of which a part answers nothing. So KEDA itself switches each such group on
and off as a whole: it runs while more groups are wanted than there are before it.
"""

from __future__ import annotations

from qwen_stack.settings.stack import Model
from qwen_stack.specs import model_group
from qwen_stack.specs.alerts.scaling_rules import demand, pressure
from qwen_stack.specs.manifest import Manifest, metadata

# Longest window of an HPA's memory: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/.
LONGEST_MEMORY_S = 3600
# Share of a KV cache above which requests are about to wait or to lose their place.
FULL_CACHE = 0.85
# Time between two replicas that end.
SCALE_IN_PERIOD_S = 60
# Failures in a row after which KEDA answers with the replicas that there are, so that the HPA's memory goes on.
FAILURES = 3
# Time between two looks at the load of a group that may start or end; as long as that of Kubernetes' autoscaler.
LOOK_S = 15


def scaled_object(model: Model, prometheus: str) -> Manifest:
    """Object for a model with `autoscaling`. `prometheus` is the address of its API."""
    bounds = model.autoscaling
    assert bounds is not None
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(model.server),
        "spec": {
            "scaleTargetRef": {"name": model.server},
            "minReplicaCount": bounds.min,
            "maxReplicaCount": bounds.max,
            # It raises only: blind, there are as many replicas as before.
            "fallback": {
                "failureThreshold": FAILURES,
                "replicas": bounds.min,
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"name": model.server, "behavior": _behaviour(model)}},
            "triggers": [
                _trigger("demand", prometheus, demand(model.server), bounds.target),
                _trigger("kv-cache", prometheus, pressure(model.server), FULL_CACHE),
            ],
        },
    }


def scaled_group(model: Model, replica: int, prometheus: str) -> Manifest:
    """Object for one of the groups beyond the fewest: it runs with all of its pods, or with none.

    It is wanted while either value is above what the groups before it are meant for. It ends when it was not wanted for
    as long as the longest start. Without `fallback` a value that is missing neither starts nor ends it.
    """
    bounds = model.autoscaling
    assert bounds is not None
    group = model_group.name_of(model, replica)
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(group),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": group},
            "idleReplicaCount": 0,
            "minReplicaCount": model.nodes_per_replica,
            "maxReplicaCount": model.nodes_per_replica,
            "pollingInterval": LOOK_S,
            "cooldownPeriod": model.startup_seconds,
            "initialCooldownPeriod": model.startup_seconds,
            "advanced": {"horizontalPodAutoscalerConfig": {"name": group}},
            "triggers": [
                _trigger("demand", prometheus, demand(model.server), bounds.target, before=replica),
                _trigger("kv-cache", prometheus, pressure(model.server), FULL_CACHE, before=replica),
            ],
        },
    }


def _behaviour(model: Model) -> Manifest:
    """More replicas at once, fewer one by one. The largest number of the last start's time counts, so that no replica
    ends while another one that was wanted may still load."""
    return {
        "scaleDown": {
            "stabilizationWindowSeconds": model.startup_seconds,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": SCALE_IN_PERIOD_S}],
        }
    }


def _trigger(name: str, prometheus: str, query: str, threshold: float, before: int = 0) -> Manifest:
    """Trigger that asks for a replica for each `threshold`, and is active where those `before` are not enough."""
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": prometheus,
            "query": query,
            "threshold": f"{threshold:g}",
            **({"activationThreshold": f"{before * threshold:g}"} if before else {}),
            # A missing series is an error, not zero.
            "ignoreNullValues": "false",
        },
    }
