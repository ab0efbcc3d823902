"""The cluster that a stack belongs to, by the uid of its namespace kube-system, which lives as long as the cluster.

The first run that succeeds records it as the output `cluster`. A later run that reaches another cluster would create
everything a second time, or believe in objects that are gone; it is refused before anything is registered.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from qwen_runtime.errors import message

from qwen_stack.settings.stack import Settings

OUTPUT = "cluster"
NAMESPACE = "/api/v1/namespaces/kube-system"
TIMEOUT = "10s"


class ClusterError(pulumi.RunError):
    """The cluster does not answer, or is another one; pulumi prints the message without a traceback."""


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
    asked = subprocess.run(_question(provider), check=False, capture_output=True, text=True)
    if asked.returncode:
        raise ClusterError(
            message(
                f"no answer of the cluster: {asked.stderr.strip()}",
                "the cluster that this stack belongs to",
                "Let KUBECONFIG name its kubeconfig, and see that its API answers.",
            )
        )
    found: str = json.loads(asked.stdout)["metadata"]["uid"]
    return found


def _question(provider: Mapping[str, str]) -> list[str]:
    """kubectl's command. Raises ClusterError for a kubeconfig that is written into the stack's file."""
    if "kubeconfig" in provider and not Path(provider["kubeconfig"]).is_file():
        raise ClusterError(
            message(
                "kubernetes:kubeconfig, which is no path of a file",
                "a kubeconfig that kubectl can read",
                "`pulumi config rm kubernetes:kubeconfig`, and let KUBECONFIG name the file.",
            )
        )
    options = [f"--{option}={value}" for option, value in provider.items()]
    return ["kubectl", *options, "get", f"--raw={NAMESPACE}", f"--request-timeout={TIMEOUT}"]
