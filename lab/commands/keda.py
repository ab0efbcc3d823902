"""KEDA and Kubernetes' programs for tests of autoscaling, built once; KEDA's images too where a lab is up."""

from __future__ import annotations

from lab.hosts import podman
from lab.mirror import images, server
from lab.tools import builder

MODULE = "keda"
CATALOGUE = "lab/kubernetes/keda.yml"
# A stack whose model follows the requests; a mirror needs no more of it to be filled.
FOLLOWING = {"qwen-onprem:models": [{"name": "any", "autoscaling": {}}]}


def ensure() -> str | None:
    """Build what is not built yet; None when all is."""
    programs = (builder.build(), builder.build_on_request(MODULE))
    built = images.carry_more("images-keda", CATALOGUE, FOLLOWING) if podman.alive(server.CONTAINER) else []
    return ", ".join(filter(None, (*programs, f"images: {', '.join(built)}" if built else None))) or None
