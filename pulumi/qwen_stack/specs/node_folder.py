"""Folders at the same path on every GPU host, which pods mount as local volumes."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_stack.specs.local_volume import local_volume, volume_name
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
    """Volume of the folder on whichever GPU host the pod runs."""
    hosts = [{"key": key, "operator": "In", "values": [value]} for key, value in GPU_NODES.items()]
    size = NOMINAL_SIZE
    return local_volume(folder.claim_name, namespace, path=folder.path, size=size, mode=folder.mode, hosts=hosts)


def claim(folder: NodeFolder, namespace: str) -> Manifest:
    """Claim to the folder's volume and no other: without a class, nothing makes one for it."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(folder.claim_name),
        "spec": {
            "accessModes": [folder.mode],
            "storageClassName": "",
            "volumeName": volume_name(folder.claim_name, namespace),
            "resources": {"requests": {"storage": NOMINAL_SIZE}},
        },
    }


def source(folder: NodeFolder) -> Manifest:
    """Part of a pod's volume. Read-only here too, or the kubelet would give every file another group."""
    return {"persistentVolumeClaim": {"claimName": folder.claim_name, "readOnly": folder.read_only}}
