"""A wrong certificate authority or registry login is named before anything is changed."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab.mirror import authority

from . import refusals
from .by_path import load

inspect_authority = load("base/files/inspect_authority.py")
ask_registry = load("container_runtime/files/ask_registry.py")
LOGIN = {"user": "hosts", "password": "correct"}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server's certificate of it."""
    folder = tmp_path_factory.mktemp("signed")
    authority.sign(folder, "localhost", "127.0.0.1")
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    authority.sign(folder, "localhost", "127.0.0.1")
    return folder


def test_an_authority_is_accepted(signed: Path) -> None:
    assert inspect_authority.fault(signed / "ca.crt") == ""


def test_what_is_no_authority_is_named(signed: Path, other: Path, tmp_path: Path) -> None:
    (tmp_path / "two.crt").write_text((signed / "ca.crt").read_text() + (other / "ca.crt").read_text())
    (tmp_path / "key.pem").write_text((signed / "ca.crt").read_text() + (signed / "ca.key").read_text())
    (tmp_path / "der.crt").write_bytes(b"\x30\x82\x01\x0a\x02\x82")
    faults = {
        tmp_path / "two.crt": "2 certificates",
        tmp_path / "key.pem": "a private key in it",
        tmp_path / "der.crt": "no certificate in PEM form",
        signed / "server.crt": "the certificate of a server, not of an authority",
        tmp_path / "absent.crt": "a file that cannot be read (No such file or directory)",
    }
    assert {path: inspect_authority.fault(path) for path in faults} == faults


class Registry(BaseHTTPRequestHandler):
    """Answers /v2/ as a registry that wants a login; `scheme` is the kind that it asks for."""

    scheme = "Basic"

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode(b"hosts:correct").decode()
        self.send_response(200 if given == wanted and self.scheme == "Basic" else 401)
        self.send_header("WWW-Authenticate", f'{self.scheme} realm="https://localhost/token"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["Basic"])
def registry(signed: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Kind", (Registry,), {"scheme": request.param}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed / "server.crt", signed / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fault(url: str, ca: Path, **login: str) -> str:
    question: dict[str, Any] = {"url": url, "ca": ca.read_text(), "user": "", "password": "", **login}
    return str(ask_registry.fault(question))


def test_the_right_authority_and_login_pass(registry: str, signed: Path) -> None:
    assert fault(registry, signed / "ca.crt", **LOGIN) == ""


def test_another_authority_is_named(registry: str, other: Path) -> None:
    assert fault(registry, other / "ca.crt", **LOGIN).startswith("a certificate that no trusted authority has signed (")


def test_a_wrong_login_is_named(registry: str, signed: Path) -> None:
    refused = fault(registry, signed / "ca.crt", user="hosts", password="last-years")
    assert refused == "a registry that refuses the login of hosts (status 401, it asks for basic)"


def test_a_login_that_is_missing_is_named(registry: str, signed: Path) -> None:
    assert fault(registry, signed / "ca.crt") == "a registry that wants a login"


@pytest.mark.parametrize("registry", ["Bearer"], indirect=True)
def test_a_registry_may_give_tokens_to_everybody_but_not_instead_of_the_login(registry: str, signed: Path) -> None:
    assert fault(registry, signed / "ca.crt") == ""
    assert "it asks for bearer" in fault(registry, signed / "ca.crt", **LOGIN)


def test_a_registry_that_does_not_answer_is_named(signed: Path) -> None:
    assert fault("https://127.0.0.1:9", signed / "ca.crt").startswith("no answer (")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Refusals of the role weights before it asks a source."""
    pin = {"weights_manifest_sha256": {"model": "0" * 64}}
    mirrors = {"http": "http://mirror", "https": "https://mirror", "disk": "/srv/models"}
    cases = {name: {"weights_sources": [source]} for name, source in mirrors.items()}
    cases |= {f"{name}-pinned": case | pin for name, case in cases.items()}
    cases["no-digest"] = cases["https"] | {"weights_manifest_sha256": {"model": "abc"}}
    package = str(Path(__file__).parents[3] / "python")
    cases = {
        name: {**case, "weights_models": ["model"], "weights_package_dir": package} for name, case in cases.items()
    }
    tasks = [{"ansible.builtin.import_role": {"name": "weights", "tasks_from": "preflight"}}]
    return refusals.refused(tmp_path_factory.mktemp("weights"), tasks, cases)


def test_weights_without_tls_need_a_pinned_manifest(weights: dict[str, str]) -> None:
    assert set(weights) == {"http", "no-digest"}
    assert "Found no pinned manifest of model, and a source without TLS" in weights["http"]
    assert "needed 64 hexadecimal digits" in weights["no-digest"]
