"""The mirror as programs of this machine use it: its addresses, the login to its registry, and waiting for it."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from lab import store
from lab.errors import LabError
from lab.hosts import inventory, network
from lab.mirror import authority
from lab.paths import LAB
from lab.progress import State, shown

REGISTRY: str = inventory.site()["site_registry"]  # the rack's name for it
REGISTRY_ADDRESS = REGISTRY.replace(network.MIRROR_NAME, network.MIRROR)  # this machine does not resolve that name
APT = f"https://{network.MIRROR}/apt"
APT_KEY = LAB / "mirror/apt-key.asc"  # inventory/local reads it
REGISTRY_USER = "rack"
REGISTRY_PASSWORD = LAB / "mirror/registry-password"  # inventory/local reads it
REGISTRY_LOGIN = LAB / "mirror/registry-login.json"


def local(reference: str) -> str:
    """The same image under the registry's address, for programs of this machine."""
    return reference.replace(REGISTRY, REGISTRY_ADDRESS, 1)


def ensure_login() -> None:
    """Make the registry's password once, and the file with which podman and buildah log in."""
    if not REGISTRY_PASSWORD.exists():
        store.write_secret(REGISTRY_PASSWORD, secrets.token_urlsafe(24))
    login = {"auth": _credentials()}
    store.write_secret(REGISTRY_LOGIN, json.dumps({"auths": {REGISTRY_ADDRESS: login, REGISTRY: login}}))


def environment() -> dict[str, str]:
    """Environment in which podman, buildah and Python trust the mirror and log in to its registry."""
    return {"SSL_CERT_FILE": str(authority.CERTIFICATE), "REGISTRY_AUTH_FILE": str(REGISTRY_LOGIN)}


def resolving(*argv: str | Path) -> list[str | Path]:
    """A program with its arguments, for which alone this machine resolves the mirror's name."""
    hosts = LAB / "mirror/hosts"
    hosts.parent.mkdir(parents=True, exist_ok=True)
    hosts.write_text(f"{Path('/etc/hosts').read_text()}{network.MIRROR} {network.MIRROR_NAME}\n")
    bound = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", bound, hosts, *argv]


def authorization() -> dict[str, str]:
    """Header that the registry requires in a request."""
    return {"Authorization": "Basic " + _credentials()}


def trusted() -> ssl.SSLContext:
    """Authorities for requests to the mirror: this machine's own, and the site's."""
    context = ssl.create_default_context()
    if authority.CERTIFICATE.exists():
        context.load_verify_locations(authority.CERTIFICATE)
    return context


def wait_for(url: str, name: str, remedy: str, *, seconds: int = 60, answers: int = 1) -> None:
    """Wait until a URL answers with success, `answers` times in a row."""
    with shown(lambda: State(f"waiting for {name}")):
        deadline = time.monotonic() + seconds
        successes = 0
        while successes < answers:
            problem = _problem(url)
            successes = 0 if problem else successes + 1
            if problem and time.monotonic() > deadline:
                raise LabError(
                    f"{name} does not answer at {url}: {problem}",
                    f"an answer within {seconds} s",
                    remedy,
                )
            if problem:
                time.sleep(0.25)


def _credentials() -> str:
    return base64.b64encode(f"{REGISTRY_USER}:{REGISTRY_PASSWORD.read_text()}".encode()).decode()


def _problem(url: str) -> str | None:
    try:
        request = urllib.request.Request(url, headers=authorization() if REGISTRY_ADDRESS in url else {})
        urllib.request.urlopen(request, timeout=5, context=trusted()).close()
    except (urllib.error.URLError, OSError) as problem:
        return str(problem)
    return None
