"""The cluster that a stack belongs to, by the uid of its namespace kube-system, which lives as long as the cluster.

The first run that succeeds records it as the output `cluster`. A later run that reaches another cluster would create
everything a second time, or believe in objects that are gone; it is refused before anything is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen_runtime.errors import message

from qwen_stack.components import kubectl
from qwen_stack.components.kubectl import ClusterError
from qwen_stack.settings.stack import Settings

OUTPUT = "cluster"
NAMESPACE = "/api/v1/namespaces/kube-system"


def belonging(settings: Settings, outputs: Mapping[str, Any], provider: Mapping[str, str]) -> str:
    """The uid of the cluster that this run reaches, which is the output `cluster` of this run.

    `outputs`: those of the stack's last run. `provider`: settings of pulumi's provider that choose a cluster. Raises
    ClusterError for any other cluster than the stack's.
    """
    found = uid(provider)
    needed = settings.cluster_uid or outputs.get(OUTPUT)
    if needed and found != needed:
        by = "clusterUid in the stack's file" if settings.cluster_uid else "the stack's last run"
        raise ClusterError(
            message(
                f"a cluster with the uid {found}",
                f"{needed}, by {by}",
                "For a wrong cluster, correct KUBECONFIG. If etcd was lost, restore it (docs/operate/restore.md). "
                f"If the cluster was built anew, `pulumi config set clusterUid {found}` and `pulumi up --refresh`. "
                "Another site gets a stack of its own: `pulumi stack init`.",
            )
        )
    return found


def uid(provider: Mapping[str, str]) -> str:
    """The uid, asked with the settings that pulumi's provider reads too. Raises ClusterError."""
    found = kubectl.read(provider, NAMESPACE)
    assert found is not None, "every cluster has this namespace"
    return str(found["metadata"]["uid"])
