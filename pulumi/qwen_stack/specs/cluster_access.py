"""Manifests of Prometheus' account: it may read the measurements of kubelets and API servers, and nothing else."""

from __future__ import annotations

from qwen_stack.specs.manifest import Manifest, metadata

ACCOUNT = "prometheus"
TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
RBAC = "rbac.authorization.k8s.io"


def account() -> Manifest:
    """Account whose token only its pod mounts."""
    # Pulumi would wait for a Secret with the account's token, which Kubernetes no longer makes.
    annotations = {"pulumi.com/skipAwait": "true"}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {**metadata(ACCOUNT), "annotations": annotations},
        "automountServiceAccountToken": False,
    }


def role(namespace: str) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": metadata(_role_name(namespace)),
        "rules": [
            {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
            {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
        ],
    }


def binding(namespace: str) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata(_role_name(namespace)),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": _role_name(namespace)},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }


def _role_name(namespace: str) -> str:
    """Name of the stack's own: roles of the cluster are shared by all of its stacks."""
    return f"{namespace}-{ACCOUNT}"
