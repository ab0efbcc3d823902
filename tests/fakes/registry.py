"""An image registry in memory, as strict as Harbor: it knows projects, who may push, and gives tokens for logins.

A request outside of a project is refused with 401, and so is a login without the right (Harbor's middleware v2auth).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}'
CHALLENGE = "WWW-Authenticate"
REPOSITORY = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|tags)/(?P<rest>.+|uploads/)$")
READING = ("GET", "HEAD")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Registry:
    """Content of the registry, those who may log in, and what was refused."""

    users: dict[str, str] = field(default_factory=dict)
    """Password by user."""
    pullers: frozenset[str] = frozenset()
    """Users who may pull and not push."""
    projects: frozenset[str] = frozenset()
    """Projects, one of which begins each repository's name. Without any, names are free and logins basic."""
    manifests: dict[str, bytes] = field(default_factory=dict)
    """Manifest by repository:tag and by repository@digest."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Method and path of each request outside of the projects."""

    def add_image(self, name: str, labels: dict[str, str] | None = None) -> str:
        """Put an image without layers under a name, with a tag or without one; returns its digest."""
        document: dict[str, Any] = json.loads(CONFIG)
        if labels:
            document["config"]["Labels"] = labels
        config = json.dumps(document).encode()
        self.blobs[digest_of(config)] = config
        described = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        }
        annotations = {"name": name}
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
        return self.put(name, json.dumps({**document, "annotations": annotations}).encode())

    def put(self, name: str, manifest: bytes) -> str:
        """Keep a manifest under a name and its digest; returns the digest."""
        digest = digest_of(manifest)
        self.manifests[name] = self.manifests[f"{name.partition(':')[0]}@{digest}"] = manifest
        return digest

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request whose path begins with /v2/ or /service/token."""
        _Answer(self, request).give()


@dataclass
class _Answer:
    registry: Registry
    request: BaseHTTPRequestHandler

    def give(self) -> None:
        body = b"".join(self._body())
        path = urlsplit(self.request.path).path
        user = self._user()
        if path == "/service/token":
            self._send(200, {"token": user}) if user else self._refuse("no such user", 'Basic realm="site"')
        elif path == "/v2/":
            self._send(200, {}) if user else self._refuse("unauthorized", self._challenge(""))
        elif (asked := REPOSITORY.fullmatch(path)) is None:
            self._send(404, _error("NOT_FOUND", "page not found"))
        elif self._may(user, asked["name"]):
            getattr(self, f"_{asked['kind']}")(asked["name"], asked["rest"], body)

    def _may(self, user: str, repository: str) -> bool:
        """Whether the user may do what is asked in the repository; otherwise the refusal is sent."""
        project, slash, _ = repository.partition("/")
        action = "pull" if self.request.command in READING else "push"
        if not user:
            self._refuse("unauthorized", self._challenge(f"repository:{repository}:pull,push"))
        elif self.registry.projects and (not slash or project not in self.registry.projects):
            self.registry.refused.append(f"{self.request.command} {self.request.path}")
            self._refuse(f"project {project} not found", "")
        elif action == "push" and user in self.registry.pullers:
            self._refuse(f"unauthorized to access repository: {repository}, action: push", 'Basic realm="site"')
        else:
            return True
        return False

    def _user(self) -> str:
        """The user of a basic login or of a token, which is the user's name here; empty for others."""
        kind, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer" and self.registry.projects:
            return given if given in self.registry.users else ""
        user, _, password = base64.b64decode(given if kind == "Basic" else "").decode().partition(":")
        return user if self.registry.users.get(user) == password else ""

    def _challenge(self, scope: str) -> str:
        """Demand of a token from those who sent no login, as by Harbor, and of a login from all others."""
        if not self.registry.projects or "Authorization" in self.request.headers:
            return 'Basic realm="site"'
        secure = hasattr(self.request.connection, "context")
        realm = f"{'https' if secure else 'http'}://{self.request.headers['Host']}/service/token"
        return f'Bearer realm="{realm}",service="site"' + (f',scope="{scope}"' if scope else "")

    def _manifests(self, repository: str, reference: str, body: bytes) -> None:
        name = f"{repository}{'@' if ':' in reference else ':'}{reference}"
        if self.request.command == "PUT":
            blobs = [json.loads(body)["config"], *json.loads(body)["layers"]]
            if all(blob["digest"] in self.registry.blobs for blob in blobs):
                self._send(201, {}, **{"Docker-Content-Digest": self.registry.put(name.partition("@")[0], body)})
            else:
                self._send(404, _error("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"))
        else:
            self._find(self.registry.manifests.get(name), MANIFEST, "manifest unknown")

    def _blobs(self, repository: str, rest: str, body: bytes) -> None:
        asked = parse_qs(urlsplit(self.request.path).query)
        if self.request.command in READING:
            self._find(self.registry.blobs.get(rest), "application/octet-stream", "blob unknown")
        elif "digest" in asked:
            content = self.registry.blobs.pop(rest, b"") + body
            self.registry.blobs[asked["digest"][0]] = content
            fits = digest_of(content) == asked["digest"][0]
            self._send(201 if fits else 400, {})
        else:
            upload = rest if rest != "uploads/" else f"uploads/{len(self.registry.blobs)}"
            self.registry.blobs[upload] = self.registry.blobs.get(upload, b"") + body
            self._send(202, {}, Location=f"/v2/{repository}/blobs/{upload}", Range="0-0")

    def _tags(self, repository: str, rest: str, body: bytes) -> None:
        self._send(404, _error("NOT_FOUND", "no list of tags here"))

    def _find(self, content: bytes | None, kind: str, absent: str) -> None:
        if content is None:
            self._send(404, _error("NOT_FOUND", absent))
        else:
            self._send(200, content, **{"Content-Type": kind, "Docker-Content-Digest": digest_of(content)})

    def _refuse(self, message: str, challenge: str) -> None:
        self._send(401, _error("UNAUTHORIZED", message), **{CHALLENGE: challenge})

    def _send(self, status: int, content: object, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.request.send_header(name, value)
        self.request.end_headers()
        if self.request.command != "HEAD":
            self.request.wfile.write(body)

    def _body(self) -> Iterator[bytes]:
        """Content of the request, which skopeo sends in chunks whose end it does not know."""
        stream = self.request.rfile
        if self.request.headers.get("Transfer-Encoding") != "chunked":
            yield stream.read(int(self.request.headers.get("Content-Length", 0)))
            return
        while size := int(stream.readline(), 16):
            yield stream.read(size)
            stream.readline()
        stream.readline()


def _error(code: str, message: str) -> dict[str, object]:
    return {"errors": [{"code": code, "message": message}]}
