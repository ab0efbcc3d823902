"""The namespace that holds the whole stack."""

from __future__ import annotations

from qwen_stack.specs.manifest import Manifest


def namespace(name: str) -> Manifest:
    # The levels baseline and restricted forbid hostPath, by which pods mount the weights.
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
