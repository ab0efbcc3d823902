"""The site mirror: one host that serves apt packages, container images and weights to the rack.

It is as strict as a site's mirror: no system trusts its authority unless told to, and its registry requires a login,
also for a pull.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import store
from lab.hosts import network, podman, rootfs
from lab.mirror import apt_repo, authority, client
from lab.paths import BIN, LAB, MIRROR_DATA
from lab.shell import logged, output

CONTAINER = "qwen-lab-mirror"
IMAGE = "localhost/qwen-lab/mirror"
MODELS = MIRROR_DATA / "models"
APT_KEY = LAB / "mirror/apt-key.asc"  # inventory/local reads it
RECORD = LAB / "mirror/requests"
"""The web server's logs: what was asked for since `make up` made the lab, also before a mirror that was lost."""
BLOBS = MIRROR_DATA / "registry/docker/registry/v2/blobs/sha256"

REMEDY = f"look at `podman logs {CONTAINER}` and `podman exec {CONTAINER} systemctl --failed`"
# Port 80 is for builds of images: their base has the key of the packages, and not the site's authority.
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


def ensure() -> str | None:
    """Fill the apt repository and run the mirror; None when there was nothing to do."""
    base_tar, _ = rootfs.build(rootfs.BASE)
    mirror_tar, _ = rootfs.build(rootfs.MIRROR)
    repository, filled = apt_repo.build(base_tar)
    _publish_trust(repository)
    content = store.key(
        repository.name, NGINX_SITE, REGISTRY_CONFIG, authority.ensure().name, client.REGISTRY_PASSWORD, str(RECORD)
    )
    done = ["filled the apt repository"] if filled else []
    if (
        not podman.alive(CONTAINER)
        or output("podman", "inspect", "-f", "{{.Config.Labels.content}}", CONTAINER) != content
    ):
        drop_damaged_blobs()
        _start(mirror_tar, repository, content)
        network.refuse_forwarding()
        done.append("started the mirror")
    client.wait_for(f"https://{client.REGISTRY_ADDRESS}/v2/", "the mirror's registry", REMEDY)
    release = f"https://{network.MIRROR}/apt/dists/{rootfs.SUITE}/InRelease"
    client.wait_for(release, "the mirror's apt repository", REMEDY)
    return ", ".join(done) or None


def _publish_trust(repository: Path) -> None:
    """Write what the lab's hosts need: the packages' key, the authority's certificate and the registry's login."""
    (LAB / "mirror").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(repository / "key.asc", APT_KEY)
    shutil.copyfile(authority.ensure() / "ca.crt", authority.CERTIFICATE)
    client.ensure_login()


def _users() -> str:
    """The registry's only user, in nginx's form."""
    salt = secrets.token_bytes(8)
    digest = hashlib.sha1(client.REGISTRY_PASSWORD.read_text().encode() + salt).digest()
    return f"{client.REGISTRY_USER}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"


def _start(mirror_tar: Path, repository: Path, content: str) -> None:
    if CONTAINER in podman.containers():
        podman.remove(CONTAINER)
    settings = LAB / "mirror"
    for name, text in (("site.conf", NGINX_SITE), ("registry.yml", REGISTRY_CONFIG), ("users", _users())):
        (settings / name).write_text(text)
    signed = authority.ensure()
    for folder in (MIRROR_DATA / "registry", MODELS, RECORD):
        folder.mkdir(parents=True, exist_ok=True)
    output("podman", "import", "--quiet", mirror_tar, IMAGE)
    output(
        *podman.RUN, *podman.SYSTEMD, "--detach", "--name", CONTAINER, "--hostname", "mirror",
        "--label", f"content={content}", *network.at(network.MIRROR),
        "--volume", f"{repository}/apt:/srv/apt:ro", "--volume", f"{MODELS}:/srv/models:ro",
        "--volume", f"{MIRROR_DATA}/registry:/srv/registry", "--volume", f"{RECORD}:/var/log/nginx",
        "--volume", f"{(BIN / 'registry').resolve()}:/usr/local/bin/registry:ro",
        "--volume", f"{settings}/registry.yml:/etc/registry.yml:ro",
        "--volume", f"{settings}/site.conf:/etc/nginx/sites-enabled/default:ro",
        "--volume", f"{settings}/users:/etc/mirror/users:ro",
        *(f"--volume={signed}/{name}:/etc/mirror/{name}:ro" for name in ("server.crt", "server.key")),
        IMAGE, *podman.INIT,
    )  # fmt: skip


def drop_damaged_blobs() -> None:
    """Empty the registry when a blob differs from the digest in its name; images are then pushed again."""
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
    """Push the base of all images, which has the site's apt source; returns whether that was necessary."""
    tag = f"{client.REGISTRY_ADDRESS}/debian:bookworm-slim"
    label = store.key(tar.with_name(store.SUMS), APT_KEY, SOURCES)
    marker = MIRROR_DATA / "registry/base-image"
    if marker.exists() and marker.read_text() == label:
        return False
    container = output("buildah", "from", "scratch")
    try:
        output("buildah", "add", "--quiet", container, tar, "/")
        sources = LAB / "mirror/site.sources"
        sources.write_text(SOURCES)
        output("buildah", "copy", "--quiet", container, sources, "/etc/apt/sources.list.d/site.sources")
        output("buildah", "copy", "--quiet", container, APT_KEY, "/etc/apt/keyrings/site.asc")
        # With a fixed time the same files give the same digest, and no image on this base is built again.
        output("buildah", "commit", "--quiet", "--timestamp", "0", container, tag)
        logged("images", "buildah", "push", "--compression-format", "zstd", tag, env=client.environment())
        output("buildah", "rmi", tag)
    finally:
        output("buildah", "rm", container)
    marker.write_text(label)
    return True
