"""VictoriaLogs for tests of the stack's logs: its programs, and their images in the registry of a lab that is up."""

from __future__ import annotations

from lab.errors import LabError
from lab.hosts import podman
from lab.mirror import client, images, server
from lab.tools import builder
from lab.versions import versions

MODULE = "victoria-logs"
CATALOGUE = "lab/logs/images.yml"
# Keys of the stack's `images`, and repositories in the site's registry.
NAMES = {"victoriaLogs": "victoriametrics/victoria-logs", "vlagent": "victoriametrics/vlagent"}


def ensure() -> str | None:
    """Build what is not built yet; None when all is."""
    if not podman.alive(server.CONTAINER):
        raise LabError("the lab is not up", "its registry, and a stack that keeps logs", "run `make up` first")
    programs, built = (
        builder.build_on_request(MODULE),
        images.carry_more("images-logs", CATALOGUE, {"qwen-onprem:images": references()}),
    )
    return ", ".join(filter(None, (programs, f"images: {', '.join(built)}" if built else None))) or None


def references() -> dict[str, str]:
    """The images as the stack's file names them."""
    tag = f"v{versions()['logs']['victoria_logs']}"
    return {key: f"{client.REGISTRY}/{repository}:{tag}" for key, repository in NAMES.items()}
