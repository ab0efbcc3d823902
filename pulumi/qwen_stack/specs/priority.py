"""Priorities: where a host has too little left, pods of a lower one give way to those of a higher one.

Classes are objects of the whole cluster, so their names begin with the stack's namespace.
"""

from __future__ import annotations

from collections.abc import Mapping

from qwen_stack.specs import model_server
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.manifest import APP_NAME, Manifest, metadata, template_of, with_pods

GATEWAY, SERVING, BATCH = "gateway", "serving", "batch"
# Above 0, which pods without a class have, and below Kubernetes' own, which begin at two thousand million.
VALUES = {
    GATEWAY: (900_000, "Clients' way in: without it no engine is of use."),
    SERVING: (800_000, "Engines that clients wait for, and what watches them."),
    BATCH: (100_000, "Engines that may wait: they give up their GPUs to those that serve."),
}


def classes(namespace: str) -> list[Manifest]:
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": metadata(f"{namespace}-{name}"),
            "value": value,
            "description": description,
        }
        for name, (value, description) in VALUES.items()
    ]


def of(labels: Mapping[str, str]) -> str:
    """Class of the pods with these labels."""
    if labels.get(APP_NAME) == gateway.NAME:
        return GATEWAY
    return labels.get(model_server.PRIORITY, SERVING)


def prioritised(spec: Manifest, namespace: str) -> Manifest:
    """Specification of an object: pods in it have their class, one without pods stays as it is."""
    template = template_of(spec)
    if template is None:
        return spec
    return with_pods(spec, priorityClassName=f"{namespace}-{of(template['metadata']['labels'])}")
