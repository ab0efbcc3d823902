"""KEDA in the cluster, by the manifests of its release and the lab's images. `make up` does not install it."""

from __future__ import annotations

import os

import yaml

from lab.mirror import client
from lab.paths import BIN, KUBECONFIG, LAB
from lab.shell import logged, output
from lab.versions import versions

NAMESPACE = "keda"
IMAGES = ("keda", "keda-metrics-apiserver", "keda-admission-webhooks")
DEPLOYMENTS = ("keda-operator", "keda-metrics-apiserver", "keda-admission")
METRICS = "apiservice/v1beta1.external.metrics.k8s.io"
OVERLAY = LAB / "keda"
MANIFEST = OVERLAY / "keda.yaml"
REMEDY = "look at the pods of the namespace keda, and run `make autoscaling` again"


def install() -> None:
    """Install KEDA and wait until Kubernetes' autoscaler gets metrics from it."""
    MANIFEST.parent.mkdir(parents=True, exist_ok=True)
    MANIFEST.write_text(_manifest())
    _kubectl("apply", "--server-side", "--filename", str(MANIFEST))
    for name in DEPLOYMENTS:
        _kubectl("--namespace", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=300s")
    _kubectl("wait", METRICS, "--for=condition=Available", "--timeout=120s")


def remove() -> None:
    """Remove KEDA and its kinds; objects of these kinds have to be gone before."""
    _kubectl("delete", "--filename", str(MANIFEST), "--ignore-not-found", "--timeout=180s")


def _manifest() -> str:
    """Manifests of the release file, with the images of the site's registry."""
    config = (BIN / IMAGES[0]).resolve().parent / "config/default"
    images = [
        {
            "name": f"ghcr.io/kedacore/{name}",
            "newName": f"{client.REGISTRY}/kedacore/{name}",
            "newTag": versions()["autoscaling"]["keda"],
        }
        for name in IMAGES
    ]
    overlay = {"resources": [os.path.relpath(config, OVERLAY)], "images": images}
    (OVERLAY / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return output(BIN / "kubectl", "kustomize", OVERLAY) + "\n"


def _kubectl(*arguments: str) -> None:
    logged("keda", BIN / "kubectl", "--kubeconfig", KUBECONFIG, *arguments, remedy=REMEDY)
