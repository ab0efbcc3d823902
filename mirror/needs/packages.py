"""Debian packages that a site's mirror holds, by suite, and the keys of the repositories that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from images.catalog import Image
from mirror import systems
from mirror.item import Item
from mirror.site import Site
from mirror.upstream import Upstream

from .role_packages import RolePackages

CONTROLLER = (
    "buildah",
    "ca-certificates",
    "curl",
    "git",
    "kubectl",
    "openssh-client",
    "openssl",
    "python3-venv",
    "skopeo",
)
"""Packages of a controller beside its Python environment; it also builds the images."""


def packages(site: Site, images: Iterable[Image], upstream: Upstream) -> Iterator[Item]:
    """Packages of hosts, images and the controller. Raises AnsibleError and UsageError."""
    repositories = upstream.repositories()
    url = site.value("base_apt_url")
    users: dict[tuple[str, str], set[str]] = {}
    for system, package, user in (*_on_hosts(site), *_in_images(images), *_on_controller(site), *_by_name(site)):
        users.setdefault((system, package), set()).add(user)
    pinned = {(system, package.partition("=")[0]) for system, package in users if "=" in package}
    for system, package in sorted(users):
        name, _, version = package.partition("=")
        if not version and (system, name) in pinned:
            continue
        suite = systems.RELEASES[system]
        [repository, *_] = [known for known in repositories if known.has(name, system)]
        source = f"{repository.url} {' '.join(repository.suites)}"
        used_by = ", ".join(sorted(users[system, package] | users.get((system, name), set())))
        yield Item("apt", suite, name, f"{url} {suite}", source, version=version, used_by=used_by)


def keys(site: Site, listed: Iterable[Item], upstream: Upstream) -> Iterator[Item]:
    """The key that signs the site's repository, and those of the repositories that the listed packages come from."""
    yield Item("key", "", "the site's own", site.value("base_apt_key_file"), "", used_by="hosts, images")
    sources = {item.source.split()[0] for item in listed if item.kind == "apt"}
    for repository in upstream.repositories():
        if repository.url in sources:
            digest = f"gpg:{repository.fingerprint}"
            yield Item("key", "", repository.name, "", repository.key, digest=digest, used_by="filling")


def _on_hosts(site: Site) -> Iterator[tuple[str, str, str]]:
    """System, package and group of hosts."""
    by_system: dict[str, RolePackages] = {}
    for host in site.distinct_hosts():
        if host.system not in by_system:
            by_system[host.system] = RolePackages(site.loader, site.inventory, host.system)
        groups = ", ".join(sorted(set(host.variables["group_names"]) - {"cluster"})) or host.name
        for package in by_system[host.system].on(host):
            yield host.system, package, groups


def _in_images(images: Iterable[Image]) -> Iterator[tuple[str, str, str]]:
    known = {image.name: image for image in images}
    for image in known.values():
        if image.packages:
            system = systems.of_image(image, known)
            yield from ((system, package, f"image {image.name}") for package in image.packages)


def _by_name(site: Site) -> Iterator[tuple[str, str, str]]:
    """Packages that the site itself wants on its mirror, for every system that its hosts run."""
    for package in site.value("site_mirror_packages", default=[]):
        yield from ((system, package, "the site") for system in {host.system for host in site.hosts})


def _on_controller(site: Site) -> Iterator[tuple[str, str, str]]:
    if site.controller_system:
        yield from ((site.controller_system, package, "controller") for package in CONTROLLER)
