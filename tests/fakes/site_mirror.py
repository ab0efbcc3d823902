"""A site's mirror on one port: apt repository, registry with a login, wheels, archives and models, over TLS."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mirror.item import Item

USER, PASSWORD = "qwen-hosts", "let me in"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}'


@dataclass
class SiteMirror:
    """The mirror's folder, what its registry holds, and how a site reaches it."""

    folder: Path
    manifests: dict[str, bytes] = field(default_factory=dict)
    """Manifest by repository:tag and by repository@digest."""
    port: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        return self.folder / "apt-key.asc"

    def add_image(self, name: str) -> str:
        """Put an image under a name, with a tag or without one; returns its digest."""
        config = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": len(CONFIG)},
            "layers": [],
            "annotations": {"name": name},
        }
        manifest = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        self.manifests[name] = self.manifests[f"{name.partition(':')[0]}@{digest}"] = manifest
        return digest

    def write_apt(self, items: Iterable[Item]) -> None:
        """Write and sign the suites' lists of these packages; kubeadm needs one that is not among them."""
        suites: dict[str, list[Item]] = {}
        for item in items:
            suites.setdefault(item.group, []).append(item)
        shutil.rmtree(self.folder / "apt", ignore_errors=True)
        for suite, members in suites.items():
            lists = self.folder / "apt/dists" / suite / "main/binary-amd64"
            lists.mkdir(parents=True)
            lists.joinpath("Packages").write_text("".join(map(_stanza, members)))
            _sign(self.folder, lists.parents[1], suite)


def _stanza(item: Item) -> str:
    fields = {
        "Package": item.name,
        "Version": item.version or "1.0-1",
        "Architecture": "amd64",
        "Maintainer": "nobody <nobody@example.internal>",
        "Filename": f"pool/{item.name}.deb",
        "Size": "1000",
        "SHA256": hashlib.sha256(item.name.encode()).hexdigest(),
        "Description": "a package",
    }
    if item.name == "kubeadm":
        fields["Depends"] = "dependency-of-kubeadm"
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n"


def _sign(folder: Path, release: Path, suite: str) -> None:
    gpg = ("gpg", "--homedir", str(folder / "gnupg"), "--batch", "--quiet")
    options = [f"-oAPT::FTPArchive::Release::{name}={suite}" for name in ("Suite", "Codename")]
    options += ["-oAPT::FTPArchive::Release::Architectures=amd64", "-oAPT::FTPArchive::Release::Components=main"]
    text = subprocess.run(["apt-ftparchive", *options, "release", release], check=True, capture_output=True).stdout
    release.joinpath("Release").write_bytes(text)
    _run(*gpg, "--clearsign", "--output", str(release / "InRelease"), str(release / "Release"))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _make_key(folder: Path) -> None:
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
    _run(*gpg, "--passphrase", "", "--quick-generate-key", "site", "ed25519", "sign", "never")
    _run(*gpg, "--armor", "--export", "--output", str(folder / "apt-key.asc"))


def _make_certificate(folder: Path) -> None:
    _run(
        *("openssl", "req", "-x509", "-noenc", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"),
        *("-subj", "/CN=site", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(folder / "server.key"), "-out", str(folder / "ca.crt")),
    )


class _Handler(SimpleHTTPRequestHandler):
    """Files of the folder, and below /v2/ a registry that asks for a login."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, mirror: SiteMirror) -> None:
        self.mirror = mirror
        super().__init__(*arguments, directory=str(mirror.folder))

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        self.mirror.requests.append(self.path)
        if self.path.startswith("/v2/"):
            self._registry()
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.mirror.requests.append(self.path)
        super().do_HEAD()

    def _registry(self) -> None:
        login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != login:
            self._answer(401, b"{}", ("WWW-Authenticate", 'Basic realm="site"'))
        elif self.path == "/v2/":
            self._answer(200, b"{}")
        elif "/blobs/" in self.path:
            self._answer(200, CONFIG)
        else:
            repository, _, reference = self.path.removeprefix("/v2/").partition("/manifests/")
            manifest = self.mirror.manifests.get(f"{repository}{'@' if ':' in reference else ':'}{reference}")
            if manifest is None:
                self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            else:
                self._answer(200, manifest, ("Content-Type", MANIFEST))

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve(folder: Path) -> Iterator[SiteMirror]:
    """An empty mirror, served from the folder until the block ends."""
    mirror = SiteMirror(folder)
    _make_certificate(folder)
    _make_key(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, mirror=mirror))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.crt", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    mirror.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        subprocess.run(["gpgconf", "--homedir", folder / "gnupg", "--kill", "gpg-agent"], check=False)
