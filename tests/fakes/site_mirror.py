"""A site's mirror on one port: apt repository, registry with a login, wheels, archives and models, over TLS."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mirror.item import Item
from tests.fakes.registry import Registry

USER, PUSHER, PASSWORD = "qwen-hosts", "qwen-mirror", "let me in"
PACKAGE_BYTES = 1000


@dataclass
class SiteMirror:
    """The mirror's folder, what its registry holds, and how a site reaches it."""

    folder: Path
    registry: Registry = field(default_factory=Registry)
    port: int = 0
    page: bytes = b""
    """A page that a proxy sends with status 200 in place of every answer; empty where the mirror answers itself."""
    context: ssl.SSLContext | None = None
    requests: list[str] = field(default_factory=list)

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        return self.folder / "apt-key.asc"

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
            for item in members:
                package = self.package(item)
                package.parent.mkdir(parents=True, exist_ok=True)
                package.write_bytes(bytes(PACKAGE_BYTES))
            _sign(self.folder, lists.parents[1], suite)

    def package(self, item: Item) -> Path:
        """The file of a package, which the lists name."""
        return self.folder / "apt" / _file_name(item)


def _file_name(item: Item) -> str:
    return f"pool/{item.group}/{item.name}_{item.version or '1.0-1'}_amd64.deb"


def _stanza(item: Item) -> str:
    fields = {
        "Package": item.name,
        "Version": item.version or "1.0-1",
        "Architecture": "amd64",
        "Maintainer": "nobody <nobody@example.internal>",
        "Filename": _file_name(item),
        "Size": str(PACKAGE_BYTES),
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
        if self.mirror.page:
            self._send_page()
        elif self.path.startswith(("/v2/", "/service/token")):
            self.mirror.registry.answer(self)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.mirror.requests.append(self.path)
        if self.mirror.page:
            self._send_page()
        elif self.path.startswith("/v2/"):
            self.mirror.registry.answer(self)
        else:
            super().do_HEAD()

    def _send_page(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.mirror.page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.mirror.page)

    def do_PUT(self) -> None:
        self.mirror.registry.answer(self)

    do_POST = do_PATCH = do_PUT


class _Server(ThreadingHTTPServer):
    def handle_error(self, *arguments: Any) -> None:
        if not isinstance(sys.exception(), ssl.SSLError):  # a client that does not take the certificate goes away
            super().handle_error(*arguments)


@contextmanager
def serve(folder: Path, *projects: str) -> Iterator[SiteMirror]:
    """An empty mirror, served from the folder until the block ends. `projects`: of its registry, if it has some."""
    mirror = SiteMirror(folder, Registry({USER: PASSWORD, PUSHER: PASSWORD}, frozenset({USER}), frozenset(projects)))
    _make_certificate(folder)
    _make_key(folder)
    server = _Server(("127.0.0.1", 0), partial(_Handler, mirror=mirror))
    mirror.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    mirror.context.load_cert_chain(folder / "ca.crt", folder / "server.key")
    server.socket = mirror.context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
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
