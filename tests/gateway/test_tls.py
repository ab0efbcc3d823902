"""The gateway with a certificate, in a real Envoy: what it speaks, and how the certificate changes."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen_stack.settings.stack import GatewayLimits

from .site import CHAT, KEY, ONE, Site, accepts, eventually, mount, needs_envoy, running, write_certificate

pytestmark = needs_envoy


@pytest.fixture
def broken_site(tmp_path: Path, settings: Any) -> Iterator[Site]:
    """A gateway whose first certificate does not fit its key."""
    write_certificate(tmp_path / "tls", "other")
    write_certificate(tmp_path / "tls", "first")
    (tmp_path / "tls/..first/tls.key").write_text((tmp_path / "tls/..other/tls.key").read_text())
    with running(tmp_path, settings.gateway.model_copy(update={"tls_secret": "gateway-tls"})) as here:
        yield here


@pytest.fixture
def choosy_site(tmp_path: Path, settings: Any) -> Iterator[Site]:
    """A gateway that wants certificates of clients; the authority is the one that signed `staff` alone."""
    write_certificate(tmp_path / "tls", "first")
    for name in ("staff", "stranger"):
        write_certificate(tmp_path / name, name)
    mount(tmp_path / "client-ca", "1", {"ca.crt": (tmp_path / "staff/tls.crt").read_text()})
    secrets = {"tls_secret": "gateway-tls", "client_ca_secret": "gateway-clients-ca"}
    with running(tmp_path, settings.gateway.model_copy(update=secrets)) as here:
        yield here


def trusting(site: Site, name: str) -> ssl.SSLContext:
    """Trust of a client that was given one certificate."""
    return ssl.create_default_context(cafile=str(site.folder / "tls" / f"..{name}" / "tls.crt"))


def connect(site: Site, name: str = "first") -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", site.api_port, timeout=30, context=trusting(site, name))


def status(site: Site, name: str = "first") -> int:
    with contextlib.closing(connect(site, name)) as connection:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"})
        return connection.getresponse().status


def test_a_client_that_trusts_the_certificate_is_answered_over_http_1_1(secure_site: Site) -> None:
    assert status(secure_site) == 200
    context = trusting(secure_site, "first")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", secure_site.api_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() in ("TLSv1.2", "TLSv1.3")


def test_nothing_is_answered_in_clear_text(secure_site: Site) -> None:
    with contextlib.suppress(ConnectionError):
        assert not secure_site.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP")
    assert accepts("127.0.0.1", secure_site.metrics_port)


def test_a_certificate_changes_without_a_restart_or_a_cut_stream(secure_site: Site) -> None:
    secure_site.add_model(ONE, tokens=20, token_delay=0.3)
    with contextlib.closing(connect(secure_site)) as connection:

        def begun() -> bool:
            connection.close()
            connection.request("POST", CHAT, json.dumps({"stream": True}), {"Authorization": f"Bearer {KEY}"})
            answers.append(connection.getresponse())
            return answers[-1].status == 200

        answers: list[http.client.HTTPResponse] = []
        eventually(begun)
        answers[-1].readline()
        write_certificate(secure_site.folder / "tls", "second")
        eventually(lambda: _served(secure_site, "second"))
        with pytest.raises(ssl.SSLCertVerificationError):
            status(secure_site, "first")
        assert b"[DONE]" in answers[-1].read()


def test_a_certificate_that_does_not_fit_its_key_leaves_the_old_one(secure_site: Site) -> None:
    write_certificate(secure_site.folder / "tls", "second")
    eventually(lambda: _served(secure_site, "second"))
    key = secure_site.folder / "tls/..first/tls.key"
    key.write_text((secure_site.folder / "tls/..second/tls.key").read_text())
    (secure_site.folder / "tls/..new").symlink_to("..first")
    (secure_site.folder / "tls/..new").rename(secure_site.folder / "tls/..data")
    eventually(lambda: "private key" in secure_site.log.read_text().lower())
    assert _served(secure_site, "second")


def _served(site: Site, name: str) -> bool:
    try:
        return status(site, name) == 200
    except (ssl.SSLError, OSError):
        return False


def test_a_gateway_is_ready_once_its_certificate_is(secure_site: Site) -> None:
    eventually(lambda: secure_site.probe("/readyz") == 200)


def test_a_gateway_whose_first_certificate_does_not_load_is_not_ready_until_it_has_another(broken_site: Site) -> None:
    eventually(lambda: accepts("127.0.0.1", broken_site.metrics_port))
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert (broken_site.probe("/healthz"), broken_site.probe("/readyz")) == (200, 503)
        time.sleep(0.2)
    write_certificate(broken_site.folder / "tls", "second")
    eventually(lambda: broken_site.probe("/readyz") == 200)
    assert _served(broken_site, "second")


def test_a_client_needs_a_certificate_of_the_authority_beside_its_key(choosy_site: Site) -> None:
    eventually(lambda: choosy_site.probe("/readyz") == 200)
    assert _status_as(choosy_site, "staff") == 200
    assert _status_as(choosy_site, "staff", key="wrong") == 401
    assert [_status_as(choosy_site, name) for name in ("stranger", None)] == [None, None]


def test_another_authority_of_clients_needs_no_restart(choosy_site: Site) -> None:
    eventually(lambda: _status_as(choosy_site, "staff") == 200)
    mount(choosy_site.folder / "client-ca", "2", {"ca.crt": (choosy_site.folder / "stranger/tls.crt").read_text()})
    eventually(lambda: _status_as(choosy_site, "stranger") == 200)
    assert _status_as(choosy_site, "staff") is None


def _status_as(site: Site, name: str | None, key: str = KEY) -> int | None:
    """Status for a client with this certificate; None if the gateway does not talk to it."""
    context = trusting(site, "first")
    if name:
        context.load_cert_chain(site.folder / name / "tls.crt", site.folder / name / "tls.key")
    connection = http.client.HTTPSConnection("localhost", site.api_port, timeout=10, context=context)
    with contextlib.closing(connection), contextlib.suppress(ssl.SSLError, OSError):
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status
    return None


def test_a_gateway_with_limits_speaks_tls_too(tmp_path: Path, settings: Any) -> None:
    write_certificate(tmp_path / "tls", "first")
    limited = {"tls_secret": "gateway-tls", "limits": GatewayLimits()}
    with running(tmp_path, settings.gateway.model_copy(update=limited)) as site:
        site.add_model(ONE)
        connection = connect(site)
        with contextlib.closing(connection):

            def ask(method: str, path: str) -> http.client.HTTPResponse:
                connection.request(method, path, b"{}", {"Authorization": f"Bearer {KEY}"})
                return connection.getresponse()

            eventually(lambda: json.loads(ask("GET", "/health").read()).get("model_servers") == 1)
            # There is no limiter here: the gateway counts alone, and admits few requests a minute.
            assert ask("POST", CHAT).status == 200
