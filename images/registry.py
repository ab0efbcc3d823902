"""Client of an OCI registry's HTTP API that tells which images it holds. Standard library only.

It logs in with the file that `buildah login` writes, and trusts the certificate authorities of the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from .catalog import ImageError

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry at HOST:PORT, with TLS unless `plain_http`."""

    address: str
    plain_http: bool

    def digest(self, repository: str, reference: str) -> str | None:
        """Digest of a tag's manifest; None if there is no such tag."""
        body = self._get(f"{repository}/manifests/{reference}")
        return None if body is None else f"sha256:{hashlib.sha256(body).hexdigest()}"

    def labels(self, repository: str, reference: str) -> dict[str, str]:
        """Labels of an image; empty if the image is absent, or if a blob of it is missing or has another size."""
        body = self._get(f"{repository}/manifests/{reference}")
        manifest: dict[str, Any] = json.loads(body) if body else {}
        if "config" not in manifest:
            return {}
        if not all(self._holds(repository, blob) for blob in [manifest["config"], *manifest["layers"]]):
            return {}
        config = self._get(f"{repository}/blobs/{manifest['config']['digest']}")
        return (json.loads(config)["config"].get("Labels") or {}) if config else {}

    def _holds(self, repository: str, blob: dict[str, Any]) -> bool:
        answer = self._ask("HEAD", f"{repository}/blobs/{blob['digest']}")
        return answer is not None and int(answer.headers["Content-Length"]) == blob["size"]

    def _get(self, path: str) -> bytes | None:
        answer = self._ask("GET", path)
        return None if answer is None else answer.read()

    def _ask(self, method: str, path: str) -> HTTPResponse | None:
        url = f"{'http' if self.plain_http else 'https'}://{self.address}/v2/{path}"
        request = urllib.request.Request(url, method=method, headers={"Accept": ACCEPT, **login(self.address)})
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
            return answer
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise self._no_answer(url, error) from error
        except OSError as error:
            raise self._no_answer(url, error) from error

    def _no_answer(self, url: str, error: Exception) -> ImageError:
        return ImageError(
            f"{url} answers {error}",
            f"an image registry at {self.address} ({'plain http' if self.plain_http else 'TLS'})",
            "start the registry, or correct --push-to and --plain-http; where it wants a login, `buildah login"
            f" {self.address}`; where its certificate is of the site's authority, have this machine trust that",
        )


def login(address: str) -> dict[str, str]:
    """Header with the login that `buildah login` keeps for a registry; empty without one."""
    kept = Path(os.environ.get("REGISTRY_AUTH_FILE") or Path(_runtime_folder(), "containers/auth.json"))
    logins: dict[str, Any] = json.loads(kept.read_text()).get("auths", {}) if kept.exists() else {}
    auth = logins.get(address, {}).get("auth")
    return {"Authorization": f"Basic {auth}"} if auth else {}


def _runtime_folder() -> str:
    return os.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
