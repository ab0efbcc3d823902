"""A folder of hosts as a volume: the kind `local`, since a namespace of the level baseline forbids hostPath.

The kubelet refuses to start a pod where the folder is missing, and says so in the pod's events.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_stack.specs.manifest import Manifest, metadata


def local_volume(claim: str, namespace: str, *, path: str, size: str, mode: str, hosts: Sequence[Manifest]) -> Manifest:
    """Volume for this claim of this namespace alone; its data outlive it. `hosts`: expressions on labels of nodes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": metadata(volume_name(claim, namespace)),
        "spec": {
            "capacity": {"storage": size},
            "accessModes": [mode],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": claim},
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": list(hosts)}]}},
        },
    }


def volume_name(claim: str, namespace: str) -> str:
    """Name of the volume, one for the whole cluster: volumes belong to no namespace."""
    return f"{namespace}-{claim}"
