"""The site's certificate authority, which no system trusts unless told to, and the mirror's certificate."""

from __future__ import annotations

from pathlib import Path

from lab import store
from lab.hosts import network
from lab.paths import LAB
from lab.shell import output

DAYS = "3650"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
CERTIFICATE = LAB / "mirror/site-ca.crt"  # inventory/local reads it


def ensure() -> Path:
    """Folder with ca.crt, server.crt and server.key. They stay in the cache, like the key of the packages."""
    names = (network.MIRROR_NAME, network.MIRROR)
    folder, _ = store.obtain("authority", store.key(*names), lambda into: sign(into, *names))
    return folder


def sign(into: Path, name: str, address: str) -> None:
    """Make an authority, and a server's key and certificate for a name and an address."""
    authority = ("-CA", into / "ca.crt", "-CAkey", into / "ca.key")
    request = ("openssl", "req", "-x509", *NEW_KEY, "-days", DAYS)
    output(*request, "-subj", "/CN=qwen-onprem lab", "-keyout", into / "ca.key", "-out", into / "ca.crt")
    output(
        *request, *authority, "-subj", f"/CN={name}",
        "-addext", f"subjectAltName=DNS:{name},IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE",
        "-keyout", into / "server.key", "-out", into / "server.crt",
    )  # fmt: skip
