"""A stand-in for the cluster's DNS: an A query is answered with the addresses in its first label's file, one a line.

`python dns_server.py PORT FOLDER` listens on 127.0.0.1: `models.test` is FOLDER/models, read for each query, so that a
test can change it. No file, no such name.
"""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

TYPE_A = 1
NO_SUCH_NAME = 3


def question(query: bytes) -> tuple[bytes, int]:
    """The question section of a query, and its record type."""
    end = query.index(b"\0", 12) + 5
    return query[12:end], struct.unpack("!H", query[end - 4 : end - 2])[0]


def listed(query: bytes, folder: Path) -> list[str]:
    label = query[13 : 13 + query[12]].decode().lower()
    file = folder / label
    return file.read_text().split() if file.exists() else []


def answer(query: bytes, addresses: list[str]) -> bytes:
    section, kind = question(query)
    records = addresses if kind == TYPE_A else []
    flags = 0x8400 if addresses else 0x8400 | NO_SUCH_NAME
    header = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    # 0xc00c points back to the name in the question; time to live 1 s; 4 bytes of address.
    body = b"".join(struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 1, 4) + socket.inet_aton(a) for a in records)
    return header + section + body


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        while True:
            query, client = server.recvfrom(4096)
            server.sendto(answer(query, listed(query, folder)), client)


if __name__ == "__main__":
    main()
