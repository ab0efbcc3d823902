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

from qwen_runtime.site_registry import SiteRegistry

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
    """The site's registry, with TLS unless `plain_http`. Repositories are named below the site's path in it."""

    site: SiteRegistry
    plain_http: bool

    def digest(self, repository: str, reference: str) -> str | None:
        """Digest of a tag's manifest; None if there is no such tag."""
        body = self._get(repository, f"manifests/{reference}")
        return None if body is None else f"sha256:{hashlib.sha256(body).hexdigest()}"

    def labels(self, repository: str, reference: str) -> dict[str, str]:
        """Labels of an image; empty if the image is absent, or if a blob of it is missing or has another size."""
        body = self._get(repository, f"manifests/{reference}")
        manifest: dict[str, Any] = json.loads(body) if body else {}
        if "config" not in manifest:
            return {}
        if not all(self._holds(repository, blob) for blob in [manifest["config"], *manifest["layers"]]):
            return {}
        config = self._get(repository, f"blobs/{manifest['config']['digest']}")
        return (json.loads(config)["config"].get("Labels") or {}) if config else {}

    def _holds(self, repository: str, blob: dict[str, Any]) -> bool:
        answer = self._ask("HEAD", repository, f"blobs/{blob['digest']}")
        return answer is not None and int(answer.headers["Content-Length"]) == blob["size"]

    def _get(self, repository: str, path: str) -> bytes | None:
        answer = self._ask("GET", repository, path)
        return None if answer is None else answer.read()

    def _ask(self, method: str, repository: str, path: str) -> HTTPResponse | None:
        scheme = "http" if self.plain_http else "https"
        url = f"{scheme}://{self.site.host}/v2/{self.site.repository(repository)}/{path}"
        headers = {"Accept": ACCEPT, **login(f"{self.site}/{repository}")}
        request = urllib.request.Request(url, method=method, headers=headers)
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
            f"{url} answers {error}{_reason(error)}",
            f"an image registry at {self.site} ({'plain http' if self.plain_http else 'TLS'})",
            "start the registry, or correct --push-to and --plain-http; where it has projects, make that of the path;"
            f" where it wants a login, `buildah login {self.site.host}`; where its certificate is of the site's"
            " authority, have this machine trust that",
        )


def _reason(error: Exception) -> str:
    """Words of the registry beside the status, such as that it has no such project."""
    if not isinstance(error, urllib.error.HTTPError):
        return ""
    try:
        return f" ({json.loads(error.read())['errors'][0]['message']})"
    except (ValueError, LookupError, TypeError):
        return ""


def login(repository: str) -> dict[str, str]:
    """Header with the login that `buildah login` keeps for a repository, or for what its name begins with.

    `repository`: with the registry's host. The longest beginning counts, as it does to buildah. Empty without a login.
    """
    kept = Path(os.environ.get("REGISTRY_AUTH_FILE") or Path(_runtime_folder(), "containers/auth.json"))
    logins: dict[str, Any] = json.loads(kept.read_text()).get("auths", {}) if kept.exists() else {}
    parts = repository.split("/")
    beginnings = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    auth = next((logins[name]["auth"] for name in beginnings if "auth" in logins.get(name, {})), None)
    return {"Authorization": f"Basic {auth}"} if auth else {}


def _runtime_folder() -> str:
    return os.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
