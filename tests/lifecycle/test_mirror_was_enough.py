"""The lab's mirror holds what `qwen-mirror list` names for its site, and hosts asked it for nothing else.

The mirror's web server records what hosts ask for, from the lab's first `make up` on. `make test` runs this file after
everything else that it does with the lab, so that the record has rollouts, faults, lost hosts and later runs, too.
A lab whose stack has had more than the list knows of, as by `make autoscaling`, fails it by name.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest
import yaml

from images.catalog import CATALOG, ROOT
from lab import versions
from lab.cluster import stack
from lab.hosts import inventory, network, rootfs
from lab.mirror import client, server
from lab.mirror.models import manifest_sha256
from lab.shell import output
from mirror.check.items import missing
from mirror.item import Item
from mirror.needs.items import needed
from mirror.site import Site
from mirror.upstream import Upstream

LOCAL = ROOT / "inventory/local"
KINDS = ("apt", "key", "image", "model")
"""Kinds that the lab's mirror has from `make up` on; of the controller's things asks test_lost_controller.py."""
REQUEST = re.compile(r'^(\S+) .*?"(?:GET|HEAD) (\S+) HTTP/[\d.]+" (\d+)', re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The lab's site under the mirror's address, since this machine does not resolve the rack's names."""
    folder = tmp_path_factory.mktemp("site")
    settings = stack.CONFIG.read_text().replace(client.REGISTRY, client.REGISTRY_ADDRESS)
    (folder / "Pulumi.local.yaml").write_text(settings)
    config = yaml.safe_load(settings)["config"]
    [model, *_] = {entry["name"] for entry in config["qwen-onprem:models"]}
    values = {
        "site_registry": client.REGISTRY_ADDRESS,
        "site_mirror_url": f"https://{network.MIRROR}",
        "site_gpu_images": [config["qwen-onprem:images"]["runtime"]],
        "site_models": [model],
        "site_model_manifests": {model: manifest_sha256(model)},
    }
    (folder / "values.yml").write_text(yaml.safe_dump(values))
    return Site(
        LOCAL, stack=folder / "Pulumi.local.yaml", extra_vars=[folder / "values.yml"], versions=versions.written()
    )


@pytest.fixture(scope="module")
def listed(site: Site) -> list[Item]:
    return needed(site, kinds=KINDS, variant="cpu", catalogs=[CATALOG], upstream=Upstream(versions.written()))


@pytest.fixture(scope="module")
def record() -> list[tuple[str, str]]:
    """Path and status of each request of the rack's hosts."""
    log = (server.RECORD / "access.log").read_text()
    hosts = set(inventory.hosts().values())
    return [(path, status) for host, path, status in REQUEST.findall(log) if host in hosts]


@pytest.fixture(scope="module")
def asked(record: list[tuple[str, str]]) -> set[str]:
    """Paths that the rack's hosts asked for."""
    return {path for path, _ in record}


def test_the_mirror_lacks_nothing_that_is_listed(site: Site, listed: list[Item], tmp_path: Path) -> None:
    """Dependencies too: against the packages that a host has before its installation."""
    tree, _ = rootfs.build(rootfs.HOST)
    with tarfile.open(tree) as tar:
        member = tar.extractfile("./var/lib/dpkg/status")
        assert member is not None
        (tmp_path / "status").write_bytes(member.read())
    assert not missing(site, listed, {rootfs.SUITE: tmp_path / "status"})


def test_hosts_asked_for_nothing_that_was_not_there(record: list[tuple[str, str]]) -> None:
    assert not {path for path, status in record if status == "404"}


def test_hosts_asked_for_no_image_that_is_not_listed(listed: list[Item], asked: set[str]) -> None:
    """A tag is a listed one; a digest may be of an earlier build of a listed image."""
    images = {item.name for item in listed if item.kind == "image"}
    requested = {path.removeprefix("/v2/") for path in asked if "/manifests/" in path}
    assert requested
    names = {tuple(path.split("/manifests/")) for path in requested}
    tagged = {f"{repository}:{tag}" for repository, tag in names if not tag.startswith("sha256:")}
    assert tagged <= images
    repositories = {repository for repository, _ in names}
    assert repositories <= {image.partition(":")[0] for image in images}
    print(f"listed, not pulled: {sorted(image for image in images if image.partition(':')[0] not in repositories)}")


def test_hosts_asked_for_no_model_that_is_not_listed(listed: list[Item], asked: set[str]) -> None:
    requested = {path.split("/")[2] for path in asked if path.startswith("/models/") and path.count("/") > 2}
    assert requested <= {item.name for item in listed if item.kind == "model"}


def test_hosts_asked_for_no_package_that_no_listed_one_needs(listed: list[Item], asked: set[str]) -> None:
    packages = _packages()
    wanted = {item.name for item in listed if item.kind == "apt"}
    closure: set[str] = set()
    while wanted:
        closure |= wanted
        wanted = {need for name in wanted for need in packages.get(name, set())} - closure
    requested = {path.rpartition("/")[2].partition("_")[0] for path in asked if path.endswith(".deb")}
    assert requested
    assert not requested - closure
    print(f"listed, not fetched: {sorted({item.name for item in listed if item.kind == 'apt'} - requested)}")


def _packages() -> dict[str, set[str]]:
    """Names in the dependencies of each package of the repository, and of the packages that provide a name."""
    lists = _read(f"dists/{rootfs.SUITE}/main/binary-amd64/Packages")
    needed: dict[str, set[str]] = {}
    for stanza in lists.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
        if "Package" in fields:
            text = f"{fields.get('Depends', '')}, {fields.get('Pre-Depends', '')}"
            names = {re.split(r"[ (:]", word.strip())[0] for word in re.split(r"[,|]", text)} - {""}
            needed.setdefault(fields["Package"], set()).update(names)
            for provided in re.split(r",\s*", fields.get("Provides", "")):
                needed.setdefault(provided.split(" ")[0], set()).add(fields["Package"])
    return needed


def _read(path: str) -> str:
    return output("podman", "exec", server.CONTAINER, "cat", f"/srv/apt/{path}")
