"""KEDA's object for a model whose number of replicas follows its requests.

KEDA asks Prometheus for the two series of scaling_rules.py, and Kubernetes' autoscaler (HPA) computes from each
`ceil(value / threshold)` replicas and takes the larger number. Where a value is missing, nothing ends.
"""

from __future__ import annotations

from qwen_stack.settings import Model
from qwen_stack.specs.manifest import Manifest, metadata
from qwen_stack.specs.scaling_rules import demand, pressure

# Longest window of an HPA's memory: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/.
LONGEST_MEMORY_S = 3600
# Share of a KV cache above which requests are about to wait or to lose their place.
FULL_CACHE = "0.85"
# Time between two replicas that end.
SCALE_IN_PERIOD_S = 60
# Failures in a row after which KEDA answers with the replicas that there are, so that the HPA's memory goes on.
FAILURES = 3


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
                _trigger("demand", prometheus, demand(model.server), str(bounds.target)),
                _trigger("kv-cache", prometheus, pressure(model.server), FULL_CACHE),
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


def _trigger(name: str, prometheus: str, query: str, threshold: str) -> Manifest:
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": prometheus,
            "query": query,
            "threshold": threshold,
            # A missing series is an error, not zero.
            "ignoreNullValues": "false",
        },
    }
