"""Shape of the keys `registry`, `registryLogin`, `images` and `signedImages` of a stack's configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from qwen_runtime import site_registry
from qwen_runtime.errors import UsageError

from qwen_stack.settings.section import Image, Section


def _of_a_site(name: str) -> str:
    try:
        return str(site_registry.parse(name, "registry"))
    except UsageError as error:
        raise ValueError(error.needed) from error


Registry = Annotated[str, AfterValidator(_of_a_site)]


class RegistryLogin(Section):
    """Login with which the pods of the stack pull their images."""

    user: str = Field(pattern=r"^[^\s:]+$")
    """Login with which every pod pulls its image, for a registry that wants one."""
    password: SecretStr = Field(min_length=1)
    """Password of this login."""


class Images(Section):
    """Full references in the site's registry: `<registry>/<path>:<tag>` or, better, `...@sha256:<digest>`."""

    runtime: Image
    """Image of the model servers: a full reference in the registry, with a digest or a fixed tag."""
    gateway: Image
    """The same for the gateway."""
    prometheus: Image
    """The same for Prometheus."""
    alertmanager: Image
    """The same for Alertmanager."""
    dcgm_exporter: Image
    """The same for NVIDIA's DCGM exporter."""
    victoria_logs: Image | None = None
    """The same for VictoriaLogs; needed with `logs`."""
    vlagent: Image | None = None
    """The same for its collector; needed with `logs`."""


class SignedImages(Section):
    """Files of the list of the images that the site vouches for, from the folder pulumi/ or by their absolute paths."""

    list: str
    """File that `qwen-mirror vouch` wrote, with its signature beside it. Pods of the namespace start only with digests
    that it has. Without it, every image of `registry` may start."""
    key: str
    """Public key of the list: Ed25519, as PEM."""
