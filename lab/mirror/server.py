"""The site mirror: one host that serves apt packages, container images and weights to the rack.

It is as strict as a site's mirror: no system trusts its authority unless told to, and its registry requires a login,
also for a pull.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
from pathlib import Path

from lab import store
from lab.hosts import network, podman, rootfs
from lab.mirror import apt_repo, authority, blobs, client
from lab.paths import BIN, LAB, MIRROR_DATA
from lab.shell import output

CONTAINER = "qwen-lab-mirror"
IMAGE = "localhost/qwen-lab/mirror"
MODELS = MIRROR_DATA / "models"
FILES = MIRROR_DATA / "files"
"""Wheels and archives of the controller, once they are asked for (lab/mirror/controller.py)."""
RECORD = LAB / "mirror/requests"
"""The web server's logs: what was asked for since `make up` made the lab, also before a mirror that was lost."""
REGISTRY = MIRROR_DATA / "registry"

REMEDY = f"look at `podman logs {CONTAINER}` and `podman exec {CONTAINER} systemctl --failed`"
NGINX_SITE = """\
ssl_certificate /etc/mirror/server.crt;
ssl_certificate_key /etc/mirror/server.key;
server {
  listen 443 ssl;
  location /apt/ { alias /srv/apt/; autoindex on; }
  location /models/ { alias /srv/models/; autoindex on; }
  location /wheels/ { alias /srv/files/wheels/; autoindex on; }
  location /tools/ { alias /srv/files/tools/; autoindex on; }
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
        blobs.drop_damaged(REGISTRY)
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
    shutil.copyfile(repository / "key.asc", client.APT_KEY)
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
    for folder in (REGISTRY, MODELS, FILES, RECORD):
        folder.mkdir(parents=True, exist_ok=True)
    output("podman", "import", "--quiet", mirror_tar, IMAGE)
    output(
        *podman.RUN, *podman.SYSTEMD, "--detach", "--name", CONTAINER, "--hostname", "mirror",
        "--label", f"content={content}", *network.at(network.MIRROR),
        "--volume", f"{repository}/apt:/srv/apt:ro", "--volume", f"{MODELS}:/srv/models:ro",
        "--volume", f"{FILES}:/srv/files:ro",
        "--volume", f"{REGISTRY}:/srv/registry", "--volume", f"{RECORD}:/var/log/nginx",
        "--volume", f"{(BIN / 'registry').resolve()}:/usr/local/bin/registry:ro",
        "--volume", f"{settings}/registry.yml:/etc/registry.yml:ro",
        "--volume", f"{settings}/site.conf:/etc/nginx/sites-enabled/default:ro",
        "--volume", f"{settings}/users:/etc/mirror/users:ro",
        *(f"--volume={signed}/{name}:/etc/mirror/{name}:ro" for name in ("server.crt", "server.key")),
        IMAGE, *podman.INIT,
    )  # fmt: skip
