"""Volumes that keep the data of monitoring when its pods end: claims, and a host's folder as the volume of one."""

from __future__ import annotations

from qwen_stack.settings.monitoring import Storage
from qwen_stack.specs.local_volume import local_volume, volume_name
from qwen_stack.specs.manifest import Manifest, metadata

HOST_NAME = "kubernetes.io/hostname"


def claim(name: str, namespace: str, size: str, storage: Storage) -> Manifest:
    """Claim of one volume: of a class, or the one that `host_folder` describes."""
    own = {"volumeName": volume_name(name, namespace), "storageClassName": ""}
    wanted = {"storageClassName": storage.class_name} if storage.class_name else own
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        # A volume may be made only when a pod wants it, and that pod waits for this object.
        "metadata": {**metadata(name), "annotations": {"pulumi.com/skipAwait": "true"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **wanted},
    }


def host_folder(name: str, namespace: str, size: str, storage: Storage) -> Manifest | None:
    """Volume in a folder of the host, for this claim alone; None where a class makes volumes. Its data outlive it."""
    if storage.host is None:
        return None
    on_host = {"key": HOST_NAME, "operator": "In", "values": [storage.host]}
    path = f"{storage.path}/{name}"
    return local_volume(name, namespace, path=path, size=size, mode="ReadWriteOnce", hosts=[on_host])
