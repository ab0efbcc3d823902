"""Objects of the cluster as they are while the program runs, read before anything is registered.

kubectl reads them, with the kubeconfig, context and cluster that pulumi's provider has too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from qwen_runtime.errors import message

TIMEOUT = "10s"
# kubectl's word for an object that the API does not have.
ABSENT = "(NotFound)"


class ClusterError(pulumi.RunError):
    """The cluster does not answer, or is another one; pulumi prints the message without a traceback."""


def read(provider: Mapping[str, str], path: str) -> Any | None:
    """The object at a path of the API; None where there is none.

    `provider`: settings of pulumi's provider that choose a cluster. Raises ClusterError.
    """
    asked = subprocess.run(_question(provider, path), check=False, capture_output=True, text=True)
    if asked.returncode == 0:
        return json.loads(asked.stdout)
    if ABSENT in asked.stderr:
        return None
    raise ClusterError(
        message(
            f"no answer of the cluster: {asked.stderr.strip()}",
            "the cluster that this stack belongs to, and the right to read it",
            "Let KUBECONFIG name its kubeconfig, and see that its API answers.",
        )
    )


def _question(provider: Mapping[str, str], path: str) -> list[str]:
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
    return ["kubectl", *options, "get", f"--raw={path}", f"--request-timeout={TIMEOUT}"]
