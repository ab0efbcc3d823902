"""A certificate of the lab's gateway from a Secret: a preview judges it, clients use it, and it changes under them."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx2
import pytest
import yaml

from lab.cluster import stack
from lab.machine import ports
from lab.paths import API_KEY, BIN
from lab.shell import attempt
from tests.support.certificates import DAY, NOW, certificate, key, pem
from tests.support.waiting import wait_until

SECRET = "gateway-tls-of-the-test"
HOST = "127.0.0.1"
STREAMS, STREAMED_TOKENS = 2, 1200
"""Enough for the streams to outlast the seconds in which kubelets bring a new certificate."""
CONNECTIONS = 16
"""New connections that reach each of two gateways, but for one time in 30,000."""

Put = Callable[[bytes, bytes], None]


@pytest.fixture(scope="module")
def put(kubectl: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Put:
    """Puts a certificate and a private key into the Secret."""
    file = tmp_path_factory.mktemp("secret") / "secret.json"

    def apply(chain: bytes, private: bytes) -> None:
        data = {"tls.crt": chain, "tls.key": private}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": stack.NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(content).decode() for name, content in data.items()},
        }
        file.write_text(json.dumps(secret))
        kubectl("apply", "--filename", str(file))

    return apply


@pytest.fixture(scope="module", autouse=True)
def named(kubectl: Callable[..., str]) -> Iterator[None]:
    """The stack's file names the Secret and the address that clients use; afterwards all is as before."""
    kept = stack.CONFIG.read_text()
    settings = yaml.safe_load(kept)
    settings["config"]["qwen-onprem:gateway"] |= {"tlsSecret": SECRET, "hostNames": [HOST]}
    stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        yield
    finally:
        stack.CONFIG.write_text(kept)
        stack.up()
        stack.wait()
        kubectl("delete", "secret", "-n", stack.NAMESPACE, SECRET, "--ignore-not-found")


def refused(put: Put, chain: bytes, private: bytes) -> str:
    """Words with which a preview refuses the pair."""
    put(chain, private)
    where = ("--stack", stack.STACK, "--config-file", stack.CONFIG)
    preview = attempt(
        BIN / "pulumi", "preview", "--non-interactive", *where, cwd=stack.PROGRAM, env=stack.environment()
    )
    assert preview.returncode
    return preview.stdout


def test_a_preview_refuses_a_certificate_of_another_key(put: Put) -> None:
    words = refused(put, certificate(key(), (HOST,)), pem(key()))
    assert "gateway.tlsSecret" in words
    assert "is not of the key tls.key" in words


def test_a_preview_refuses_a_certificate_without_the_address_of_clients(put: Put) -> None:
    own = key()
    words = refused(put, certificate(own, ("llm.site.example",)), pem(own))
    assert "gateway.hostNames[0]" in words
    assert f"{HOST}, and a certificate for llm.site.example" in words


@pytest.mark.parametrize(("begin", "end"), [(NOW - 2 * DAY, NOW - DAY), (NOW + DAY, NOW + 2 * DAY)])
def test_a_preview_refuses_a_certificate_that_does_not_hold_now(put: Put, begin: datetime, end: datetime) -> None:
    own = key()
    words = refused(put, certificate(own, (HOST,), begin, end), pem(own))
    assert "gateway.tlsSecret" in words
    assert f"{end:%Y-%m-%d %H:%M} UTC" in words


def connected(trusted: bytes) -> tuple[str | None, bytes | None]:
    """Protocol that a new connection agrees on, and the certificate, which it trusts; None for both where it cannot."""
    context = ssl.create_default_context(cadata=trusted.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((HOST, ports.GATEWAY), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=HOST) as connection,
        ):
            return connection.selected_alpn_protocol(), connection.getpeercert(binary_form=True)
    except OSError:
        return None, None


def served(chain: bytes) -> bool:
    """Whether every new connection gets this certificate, and HTTP/1.1 with it."""
    agreed = ("http/1.1", ssl.PEM_cert_to_DER_cert(chain.decode()))
    return all(connected(chain) == agreed for _ in range(CONNECTIONS))


def stream(model: str, trusted: Path, begun: Callable[[], object]) -> list[str]:
    """Lines of a long stream from a client that trusts one certificate."""
    body = {"model": model, "prompt": "Once", "stream": True, "max_tokens": STREAMED_TOKENS, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {API_KEY.read_text().strip()}"}
    context = ssl.create_default_context(cafile=str(trusted))
    url = f"https://{HOST}:{ports.GATEWAY}/v1/completions"
    lines: list[str] = []
    with (
        httpx2.Client(verify=context, timeout=300) as client,
        client.stream("POST", url, json=body, headers=headers) as answer,
    ):
        answer.raise_for_status()
        for line in filter(None, answer.iter_lines()):
            lines.append(line)
            begun()
    return lines


def test_a_new_certificate_is_served_by_both_gateways_and_cuts_no_stream(put: Put, model: str, tmp_path: Path) -> None:
    first, second = key(), key()
    old, new = certificate(first, (HOST,)), certificate(second, (HOST,))
    trusted = tmp_path / "old.crt"
    trusted.write_bytes(old)
    put(old, pem(first))
    stack.up()
    stack.wait()
    wait_until(lambda: served(old), "the certificate of the Secret at both gateways")
    begun: set[int] = set()
    with ThreadPoolExecutor(STREAMS) as pool:
        streams: list[Future[list[str]]] = [
            pool.submit(stream, model, trusted, lambda number=number: begun.add(number))  # type: ignore[misc]
            for number in range(STREAMS)
        ]
        wait_until(lambda: len(begun) == STREAMS, "streams that have begun")
        put(new, pem(second))
        wait_until(lambda: served(new), "the new certificate at both gateways")
        assert not any(one.done() for one in streams), "the streams ended before the certificate had changed"
        ends = [one.result()[-1] for one in streams]
    assert ends == ["data: [DONE]"] * STREAMS
    assert connected(old) == (None, None)
