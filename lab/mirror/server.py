"""The site mirror: one host that serves apt packages, container images and weights to the rack.

It is as strict as a site's: its certificate is of an authority that no system trusts of itself, and its registry wants
a login, from those who pull too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import ssl
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import store
from lab.errors import LabError
from lab.hosts import network, podman, rootfs
from lab.mirror import apt_repo, authority
from lab.paths import BIN, LAB, MIRROR_DATA
from lab.progress import State, shown
from lab.shell import logged, output

CONTAINER = "qwen-lab-mirror"
IMAGE = "localhost/qwen-lab/mirror"
REGISTRY = f"{network.MIRROR_NAME}:5000"  # as the rack names it
REGISTRY_ADDRESS = f"{network.MIRROR}:5000"  # as this machine reaches it
MODELS = MIRROR_DATA / "models"
BLOBS = MIRROR_DATA / "registry/docker/registry/v2/blobs/sha256"

REMEDY = f"look at `podman logs {CONTAINER}` and `podman exec {CONTAINER} systemctl --failed`"
# Port 80 is for the builds of images, whose base knows the key of the packages and no authority.
NGINX_SITE = """\
ssl_certificate /etc/mirror/server.crt;
ssl_certificate_key /etc/mirror/server.key;
server {
  listen 80;
  location /apt/ { alias /srv/apt/; }
}
server {
  listen 443 ssl;
  location /apt/ { alias /srv/apt/; autoindex on; }
  location /models/ { alias /srv/models/; autoindex on; }
}
server {
  listen 5000 ssl;
  auth_basic "site registry";
  auth_basic_user_file /etc/mirror/users;
  client_max_body_size 0;
  location / {
    proxy_pass http://127.0.0.1:5001;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_read_timeout 600s;
  }
}
"""
REGISTRY_USER = "rack"
REGISTRY_PASSWORD = LAB / "mirror/registry-password"  # as the inventory names it
REGISTRY_LOGIN = LAB / "mirror/registry-login.json"
SOURCES = f"""\
Types: deb
URIs: http://{network.MIRROR}/apt
Suites: {rootfs.SUITE}
Components: main
Signed-By: /etc/apt/keyrings/site.asc
"""
REGISTRY_CONFIG = """\
version: 0.1
storage:
  filesystem: {rootdirectory: /srv/registry}
http:
  addr: 127.0.0.1:5001
  relativeurls: true
"""


def local(reference: str) -> str:
    """An image's reference as this machine, which does not resolve the rack's names, has to write it."""
    return reference.replace(REGISTRY, REGISTRY_ADDRESS, 1)


def ensure() -> str | None:
    """Fill the apt repository and have the mirror running; None when there was nothing to do."""
    base_tar, _ = rootfs.build(rootfs.BASE)
    mirror_tar, _ = rootfs.build(rootfs.MIRROR)
    repository, filled = apt_repo.build(base_tar)
    _publish_trust(repository)
    content = store.key(repository.name, NGINX_SITE, REGISTRY_CONFIG, authority.ensure().name, REGISTRY_PASSWORD)
    done = ["filled the apt repository"] if filled else []
    if (
        not podman.alive(CONTAINER)
        or output("podman", "inspect", "-f", "{{.Config.Labels.content}}", CONTAINER) != content
    ):
        drop_damaged_blobs()
        _start(mirror_tar, repository, content)
        network.refuse_forwarding()
        done.append("started the mirror")
    wait_for(f"https://{REGISTRY_ADDRESS}/v2/", "the mirror's registry")
    wait_for(f"https://{network.MIRROR}/apt/dists/{rootfs.SUITE}/InRelease", "the mirror's apt repository")
    return ", ".join(done) or None


def _publish_trust(repository: Path) -> None:
    """Give the lab what its hosts trust and log in with: the packages' key, the authority, the registry's password."""
    (LAB / "mirror").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(repository / "key.asc", LAB / "mirror/apt-key.asc")
    shutil.copyfile(authority.ensure() / "ca.crt", authority.CERTIFICATE)
    if not REGISTRY_PASSWORD.exists():
        store.write_secret(REGISTRY_PASSWORD, secrets.token_urlsafe(24))
    login = base64.b64encode(f"{REGISTRY_USER}:{REGISTRY_PASSWORD.read_text()}".encode()).decode()
    store.write_secret(REGISTRY_LOGIN, json.dumps({"auths": {REGISTRY_ADDRESS: {"auth": login}}}))


def client() -> dict[str, str]:
    """Environment in which podman, buildah and Python trust the mirror and log in to its registry."""
    return {"SSL_CERT_FILE": str(authority.CERTIFICATE), "REGISTRY_AUTH_FILE": str(REGISTRY_LOGIN)}


def authorization() -> dict[str, str]:
    """Header that the registry wants in a request."""
    auth = json.loads(REGISTRY_LOGIN.read_text())["auths"][REGISTRY_ADDRESS]["auth"]
    return {"Authorization": f"Basic {auth}"}


def _users() -> str:
    """The registry's only user, as nginx reads it."""
    salt = secrets.token_bytes(8)
    digest = hashlib.sha1(REGISTRY_PASSWORD.read_text().encode() + salt).digest()
    return f"{REGISTRY_USER}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"


def _start(mirror_tar: Path, repository: Path, content: str) -> None:
    if CONTAINER in podman.containers():
        podman.remove(CONTAINER)
    settings = LAB / "mirror"
    for name, text in (("site.conf", NGINX_SITE), ("registry.yml", REGISTRY_CONFIG), ("users", _users())):
        (settings / name).write_text(text)
    signed = authority.ensure()
    for folder in ("registry", "models"):
        (MIRROR_DATA / folder).mkdir(parents=True, exist_ok=True)
    output("podman", "import", "--quiet", mirror_tar, IMAGE)
    output(
        *podman.RUN, *podman.SYSTEMD, "--detach", "--name", CONTAINER, "--hostname", "mirror",
        "--label", f"content={content}", *network.at(network.MIRROR),
        "--volume", f"{repository}:/srv/apt:ro", "--volume", f"{MODELS}:/srv/models:ro",
        "--volume", f"{MIRROR_DATA}/registry:/srv/registry",
        "--volume", f"{(BIN / 'registry').resolve()}:/usr/local/bin/registry:ro",
        "--volume", f"{settings}/registry.yml:/etc/registry.yml:ro",
        "--volume", f"{settings}/site.conf:/etc/nginx/sites-enabled/default:ro",
        "--volume", f"{settings}/users:/etc/mirror/users:ro",
        *(f"--volume={signed}/{name}:/etc/mirror/{name}:ro" for name in ("server.crt", "server.key")),
        IMAGE, *podman.INIT,
    )  # fmt: skip


def drop_damaged_blobs() -> None:
    """Empty the registry when one of its blobs is not what its name says; images are then pushed anew."""
    blobs = list(BLOBS.glob("*/*/data"))
    with ThreadPoolExecutor(2) as pool:
        damaged = [b for b, d in zip(blobs, pool.map(store.sha256, blobs), strict=True) if d != b.parent.name]
    if damaged:
        print(
            f"      found:  {len(damaged)} damaged blob(s) in the mirror's registry, as {damaged[0].parent.name[:16]}\n"
            "      needed: content that equals its digest\n      remedy: none, the images are built again",
            flush=True,
        )
        shutil.rmtree(MIRROR_DATA / "registry")


def push_base(tar: Path) -> bool:
    """Publish the base of all images, with the site's apt source in it; returns whether it had to be pushed."""
    tag = f"{REGISTRY_ADDRESS}/debian:bookworm-slim"
    label = store.key(tar.with_name(store.SUMS), LAB / "mirror/apt-key.asc", SOURCES)
    marker = MIRROR_DATA / "registry/base-image"
    if marker.exists() and marker.read_text() == label:
        return False
    container = output("buildah", "from", "scratch")
    try:
        output("buildah", "add", "--quiet", container, tar, "/")
        sources = LAB / "mirror/site.sources"
        sources.write_text(SOURCES)
        output("buildah", "copy", "--quiet", container, sources, "/etc/apt/sources.list.d/site.sources")
        output("buildah", "copy", "--quiet", container, LAB / "mirror/apt-key.asc", "/etc/apt/keyrings/site.asc")
        # A fixed time: the same files give the same digest, and no image on top is built again.
        output("buildah", "commit", "--quiet", "--timestamp", "0", container, tag)
        logged("images", "buildah", "push", "--compression-format", "zstd", tag, env=client())
        output("buildah", "rmi", tag)
    finally:
        output("buildah", "rm", container)
    marker.write_text(label)
    return True


def wait_for(url: str, what: str, seconds: int = 60, remedy: str = REMEDY, *, answers: int = 1) -> None:
    """Wait until a URL answers with success, as many times in a row as asked for."""
    with shown(lambda: State(f"waiting for {what}")):
        deadline = time.monotonic() + seconds
        successes = 0
        while successes < answers:
            problem = _problem(url)
            successes = 0 if problem else successes + 1
            if problem and time.monotonic() > deadline:
                raise LabError(
                    f"{what} does not answer at {url}: {problem}",
                    f"an answer within {seconds} s",
                    remedy,
                )
            if problem or successes < answers:
                time.sleep(0.25)


def trusted() -> ssl.SSLContext:
    """What this machine trusts beside its own authorities while it asks the mirror."""
    context = ssl.create_default_context()
    if authority.CERTIFICATE.exists():
        context.load_verify_locations(authority.CERTIFICATE)
    return context


def _problem(url: str) -> str | None:
    try:
        request = urllib.request.Request(url, headers=authorization() if REGISTRY_ADDRESS in url else {})
        urllib.request.urlopen(request, timeout=5, context=trusted()).close()
    except (urllib.error.URLError, OSError) as problem:
        return str(problem)
    return None
