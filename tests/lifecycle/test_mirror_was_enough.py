"""The lab's mirror holds what `qwen-mirror list` names for its site, and hosts asked it for nothing else.

The mirror's web server records what hosts ask for, from the lab's first `make up` on. `make test` and `make recorded`
run this file after everything else that they do with the lab, so that the record has rollouts, faults, lost hosts and
later runs, and of `make recorded` also upgrades. A lab whose stack has had more than the list knows of, as by
`make autoscaling`, fails it by name.

A scratch host beside the rack may have an address that another one had. All of them together may ask for what is listed
with each of the rows of NVIDIA's software that scenarios move between, as an operator lists both sides of an upgrade,
and for what is listed for a controller.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable
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
from tests.support import asked
from tests.support.asked import Request

LOCAL = ROOT / "inventory/local"
KINDS = ("apt", "key", "image", "model")
"""Kinds that the rack asks for. The controller that set it up has its things on the machine itself."""
CONTROLLERS = (*KINDS, "wheel", "tool")
"""Kinds that a new controller asks for too."""
RACK = set(inventory.hosts().values())
OTHERS = {*network.SCRATCH_HOSTS, *network.MACHINES}
OWN = {network.GATEWAY, "127.0.0.1"}
ROW = re.compile(r"\bsite_nvidia_stack\b[=:] *([\w.-]+)")


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    return folder


def read_site(values: Path, *settings: Path) -> Site:
    """The lab's site, with settings over its inventory's as `qwen-mirror --extra-vars` takes them."""
    extra = [values / "values.yml", *settings]
    return Site(LOCAL, stack=values / "Pulumi.local.yaml", extra_vars=extra, versions=versions.written())


def list_for(site: Site, kinds: Collection[str] = KINDS) -> list[Item]:
    return needed(site, kinds=kinds, variant="cpu", catalogs=[CATALOG], upstream=Upstream(versions.written()))


@pytest.fixture(scope="module")
def site(values: Path) -> Site:
    return read_site(values)


@pytest.fixture(scope="module")
def listed(site: Site) -> list[Item]:
    """Items that the rack may ask for."""
    return list_for(site)


@pytest.fixture(scope="module")
def listed_for_others(values: Path, listed: list[Item]) -> list[Item]:
    """Items that scratch hosts may ask for: with each row that a scenario of molecule names, and for a controller."""
    rows = {row for file in (ROOT / "molecule").rglob("*.yml") for row in ROW.findall(file.read_text())}
    assert rows
    others = [{"site_nvidia_stack": row} for row in sorted(rows)]
    others += [{"site_controller_system": inventory.site()["site_system"]}]
    items = list(listed)
    for number, settings in enumerate(others):
        file = values / f"settings{number}.yml"
        file.write_text(yaml.safe_dump(settings))
        items += list_for(read_site(values, file), CONTROLLERS)
    return items


@pytest.fixture(scope="module")
def record() -> list[Request]:
    """Each request but those of this machine, which fills the mirror and looks after it."""
    requests = asked.requests((server.RECORD / "access.log").read_text())
    return [request for request in requests if request.client not in OWN]


@pytest.fixture(scope="module")
def needs() -> asked.Needs:
    lists = f"/srv/apt/dists/{rootfs.SUITE}/main/binary-amd64/Packages"
    return asked.needs(output("podman", "exec", server.CONTAINER, "cat", lists))


def of(clients: Collection[str], record: Iterable[Request]) -> list[Request]:
    return [request for request in record if request.client in clients]


def test_the_mirror_lacks_nothing_that_is_listed(site: Site, listed: list[Item], tmp_path: Path) -> None:
    """Dependencies too: against the packages that a host has before its installation."""
    tree, _ = rootfs.build(rootfs.HOST)
    with tarfile.open(tree) as tar:
        member = tar.extractfile("./var/lib/dpkg/status")
        assert member is not None
        (tmp_path / "status").write_bytes(member.read())
    assert not missing(site, listed, {rootfs.SUITE: tmp_path / "status"})


def test_every_client_is_a_host_of_the_lab(record: list[Request]) -> None:
    assert {request.client for request in record} <= RACK | OTHERS


def test_hosts_asked_for_nothing_that_was_not_there(record: list[Request]) -> None:
    assert not {(request.client, request.path) for request in record if request.status == "404"}


def test_the_rack_asked_for_nothing_that_is_not_listed(
    listed: list[Item], record: list[Request], needs: asked.Needs
) -> None:
    by_the_rack = of(RACK, record)
    assert by_the_rack
    assert not asked.unlisted(listed, by_the_rack, needs)


def test_scratch_hosts_asked_for_nothing_that_is_not_listed_before_or_after(
    listed_for_others: list[Item], record: list[Request], needs: asked.Needs
) -> None:
    assert not asked.unlisted(listed_for_others, of(OTHERS, record), needs)


def test_some_of_every_kind_that_is_listed_was_asked_for(listed: list[Item], record: list[Request]) -> None:
    """Things that nobody asked for are told: a mirror needs them for what the lab did not do, or not at all."""
    spare = asked.surplus(listed, record)
    whole, left = (Counter(item.kind for item in items) for items in (listed, spare))
    for item in spare:
        print(f"{item.kind:6} {item.name:55} {item.used_by}")
    print(json.dumps({"requests": len(record), "listed": dict(whole), "never_asked_for": dict(left)}))
    assert all(left[kind] < count for kind, count in whole.items())
