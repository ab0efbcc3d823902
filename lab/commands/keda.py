"""KEDA and Kubernetes' programs for tests of autoscaling, built once; KEDA's images too where a lab is up."""

from __future__ import annotations

from lab.hosts import podman
from lab.mirror import images, server
from lab.tools import builder

MODULE = "keda"
CATALOGUE = "lab/kubernetes/keda.yml"


def ensure() -> str | None:
    """Build what is not built yet; None when all is."""
    programs = (builder.build(), builder.build_on_request(MODULE))
    built = images.build_of(CATALOGUE) if podman.alive(server.CONTAINER) else []
    return ", ".join(filter(None, (*programs, f"images: {', '.join(built)}" if built else None))) or None
