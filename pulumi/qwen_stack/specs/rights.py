"""Accounts of the stack's own pods, and what the cluster's API lets them do."""

from __future__ import annotations

from typing import Any

from qwen_stack.specs.manifest import Manifest, metadata

RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLE, ROLE = "ClusterRole", "Role"


def account(name: str, **fields: Any) -> Manifest:
    # Pulumi would wait for a Secret with the account's token, which Kubernetes no longer makes.
    annotations = {"pulumi.com/skipAwait": "true"}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {**metadata(name), "annotations": annotations},
        **fields,
    }


def in_cluster(name: str, namespace: str) -> str:
    """Name of a role of the whole cluster, which all of its stacks share: the stack's own one."""
    return f"{namespace}-{name}"


def role(kind: str, name: str, rules: list[Manifest]) -> Manifest:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata(name), "rules": rules}


def binding(kind: str, name: str, account_name: str, namespace: str) -> Manifest:
    """The binding of a role of this kind to an account, named as the role."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata(name),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account_name, "namespace": namespace}],
    }
