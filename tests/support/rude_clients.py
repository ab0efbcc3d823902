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
    """A request whose answer nobody reads yet."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=ENGINE_PATIENCE_S)
    connection.request("POST", path, json.dumps(body), client.headers)
    return connection


def send_part(client: Client, path: str, body: Json, share: float) -> None:
    """So much of a request's bytes, and then the end of the connection."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    whole = head.encode() + data
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(whole[: int(share * len(whole))])


def read_late(client: Client, path: str, body: Json, wait: Callable[[], object]) -> bytes:
    """The bytes of a stream of which nothing is read before `wait` returns, through a small buffer."""
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
    """So many connections that say nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(count):
            opened.enter_context(socket.create_connection(("127.0.0.1", client.port)))
        yield
