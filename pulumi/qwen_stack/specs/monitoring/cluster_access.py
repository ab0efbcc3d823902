"""Manifests of Prometheus' account: it may read the measurements of kubelets and API servers, and nothing else."""

from __future__ import annotations

from qwen_stack.specs import rights
from qwen_stack.specs.manifest import Manifest
from qwen_stack.specs.rights import CLUSTER_ROLE

ACCOUNT = "prometheus"
TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"


def account() -> Manifest:
    """Account whose token only its pod mounts."""
    return rights.account(ACCOUNT, automountServiceAccountToken=False)


def role(namespace: str) -> Manifest:
    return rights.role(
        CLUSTER_ROLE,
        rights.in_cluster(ACCOUNT, namespace),
        [
            {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
            {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
        ],
    )


def binding(namespace: str) -> Manifest:
    return rights.binding(CLUSTER_ROLE, rights.in_cluster(ACCOUNT, namespace), ACCOUNT, namespace)
