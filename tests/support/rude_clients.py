"""Clients that disconnect, read late, or send nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
from collections.abc import Callable, Iterator

from tests.support.client import Client, Json
from tests.support.waiting import ENGINE_PATIENCE_S


def send(client: Client, path: str, body: Json) -> http.client.HTTPConnection:
    """Sends a request; the caller reads the answer, or leaves it."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=ENGINE_PATIENCE_S)
    connection.request("POST", path, json.dumps(body), client.headers)
    return connection


def send_part(client: Client, path: str, body: Json, share: float) -> None:
    """Sends this share of a request's bytes, then closes the connection."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    whole = head.encode() + data
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(whole[: int(share * len(whole))])


def read_late(client: Client, path: str, body: Json, wait: Callable[[], object]) -> bytes:
    """The bytes of a stream, read through a small buffer and only after `wait` has returned."""
    connection = socket.socket()
    with contextlib.closing(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(ENGINE_PATIENCE_S)
        connection.connect(("127.0.0.1", client.port))
        data = json.dumps({**body, "stream": True}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        wait()
        return b"".join(iter(lambda: connection.recv(65536), b""))


@contextlib.contextmanager
def silent(client: Client, count: int) -> Iterator[None]:
    """Holds connections that send nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(count):
            opened.enter_context(socket.create_connection(("127.0.0.1", client.port)))
        yield
