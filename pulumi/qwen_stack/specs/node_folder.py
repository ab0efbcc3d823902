"""Folders of the hosts that pods mount, as local volumes: a namespace of the level baseline forbids hostPath.

A volume of the kind `local` is the folder at the same path on whichever GPU host the pod runs. The kubelet refuses to
start a pod where the folder is missing, and says so in the pod's events.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_stack.specs.manifest import GPU_NODES, Manifest, checksum, metadata

# Kubernetes asks for a size. It limits nothing: the volume is a folder of a disk.
NOMINAL_SIZE = "1Gi"


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """A folder at the same path on every GPU host; `purpose` is the beginning of its claim's name."""

    purpose: str
    path: str
    read_only: bool = True

    @property
    def claim_name(self) -> str:
        """Name that follows from the path, so that entries with the same folder share a claim."""
        return f"{self.purpose}-{checksum(self.path)[:10]}"

    @property
    def mode(self) -> str:
        return "ReadOnlyMany" if self.read_only else "ReadWriteMany"


def persistent_volume(folder: NodeFolder, namespace: str) -> Manifest:
    """Volume for the claim in this namespace alone. A volume's name is one for the whole cluster."""
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in GPU_NODES.items()]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": metadata(f"{namespace}-{folder.claim_name}"),
        "spec": {
            "capacity": {"storage": NOMINAL_SIZE},
            "accessModes": [folder.mode],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "local": {"path": folder.path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}},
            "claimRef": {"namespace": namespace, "name": folder.claim_name},
        },
    }


def claim(folder: NodeFolder, namespace: str) -> Manifest:
    """Claim to the folder's volume and no other: without a class, nothing makes one for it."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(folder.claim_name),
        "spec": {
            "accessModes": [folder.mode],
            "storageClassName": "",
            "volumeName": f"{namespace}-{folder.claim_name}",
            "resources": {"requests": {"storage": NOMINAL_SIZE}},
        },
    }


def source(folder: NodeFolder) -> Manifest:
    """Part of a pod's volume. Read-only here too, or the kubelet would give every file another group."""
    return {"persistentVolumeClaim": {"claimName": folder.claim_name, "readOnly": folder.read_only}}
