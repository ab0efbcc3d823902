"""A bare host serves a carried folder as a site's mirror, and a second host is installed from it alone.

Both are scratch hosts beside a lab that is up, without a way out. The folder is brought to the first one's disk by
`qwen-mirror import`, which an operator would run there. Of wheels and images there is one each, to save time.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab import versions
from lab.cluster import site as playbooks
from lab.hosts import rack, rootfs
from lab.mirror import authority, bundles, client, keys, product, server, upstream
from lab.mirror.bundles import KEY_USER
from lab.mirror.models import manifest_sha256
from lab.paths import CONTROLLER_ENV, REPO
from mirror.check.items import missing
from mirror.fill.folder import fill
from mirror.item import Item
from mirror.needs.items import needed
from mirror.site import Site
from mirror.upstream import Upstream

RECORD = server.RECORD / "access.log"
MIRROR, SERVED = "mirror1", "served1"
MODEL = "smollm2-135m-instruct"
FILLER, HOSTS = {"qwen-mirror": "only for this test"}, {"rack": "for the hosts"}
INSTALL = [
    {
        "hosts": SERVED,
        "gather_facts": True,
        "any_errors_fatal": True,
        "tasks": [
            {"ansible.builtin.import_role": {"name": "base"}},
            {"ansible.builtin.import_role": {"name": "container_runtime"}},
            {"ansible.builtin.import_role": {"name": "container_runtime", "tasks_from": "await"}},
            {"ansible.builtin.import_role": {"name": "weights"}},
        ],
    }
]


@dataclass
class World:
    """The two hosts, the folder with their inventory and keys, and what of the site's list is carried."""

    folder: Path
    addresses: Mapping[str, str]
    items: list[Item]
    recorded: int
    """Length of the lab's record of requests when the hosts came: earlier ones may have had their addresses."""

    @property
    def at(self) -> str:
        return self.addresses[MIRROR]

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    def site(self) -> Site:
        return Site(self.inventory, extra_vars=[self.folder / "values.yml"], versions=versions.written())

    def bring(self, *options: str) -> None:
        """Import the carried folder on the first host's disk; images go to its registry."""
        login = base64.b64encode(":".join(*FILLER.items()).encode()).decode()
        (self.folder / "login.json").write_text(json.dumps({"auths": {self.at: {"auth": login}}}))
        command = [sys.executable, "mirror/qwen-mirror", "import", self.inventory, self.folder / "carried"]
        command += [f"--key={keys.of_bundles()[1]}", f"--to={rack.DISKS / MIRROR}/srv/www", f"--apt-key={KEY_USER}"]
        command += [*product.site_options(), f"--extra-vars={self.folder / 'values.yml'}", *options]
        environment = {**os.environ, **keys.ENVIRONMENT, "REGISTRY_AUTH_FILE": str(self.folder / "login.json")}
        done = subprocess.run(command, cwd=REPO, env=environment, check=False, capture_output=True, text=True)
        keys.end_agent()
        assert done.returncode == 0, done.stderr[-3000:]

    def play(self, playbook: str | Path, *options: str) -> dict[str, int]:
        """Run a playbook; returns how many tasks changed something, by host."""
        command = [CONTROLLER_ENV / "bin/ansible-playbook", "-i", self.inventory, playbook]
        command += [f"--extra-vars=@{self.folder / 'values.yml'}", *options]
        environment = {**os.environ, **playbooks.environment(), "SITE_ROOT": str(REPO)}
        done = subprocess.run(command, cwd=REPO, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        return {host: int(changed) for host, _, changed, _, _ in playbooks.RECAP.findall(done.stdout)}

    def on_served(self, *argv: str) -> str:
        return subprocess.run(
            ["podman", "exec", rack.PREFIX + SERVED, *argv], check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two bare hosts, and a carried folder that is filled and signed."""
    folder = tmp_path_factory.mktemp("site")
    rack.remove_scratch([MIRROR, SERVED])
    try:
        addresses = rack.ensure_scratch([MIRROR, SERVED], {})
        _describe(folder, addresses)
        world = World(folder, addresses, [], RECORD.stat().st_size)
        world.items = _chosen(world.site())
        _fill(world)
        yield world
    finally:
        rack.remove_scratch([MIRROR, SERVED])


def _describe(folder: Path, addresses: Mapping[str, str]) -> None:
    """Write the inventory of a site whose mirror is the first host, with certificate and key."""
    authority.sign(folder, MIRROR, addresses[MIRROR])
    keys.export(KEY_USER, folder / "apt-key.asc")
    hosts = {name: {"ansible_host": address} for name, address in addresses.items()}
    groups = {"cluster": {"hosts": hosts}, "mirror": {"hosts": {MIRROR: {}}}}
    (folder / "inventory").mkdir()
    (folder / "inventory/hosts.yml").write_text(yaml.safe_dump(groups))
    (folder / "inventory/group_vars").symlink_to(REPO / "inventory/local/group_vars")
    (folder / "install.yml").write_text(yaml.safe_dump(INSTALL))
    (folder / "values.yml").write_text(
        yaml.safe_dump(
            {
                "site_root": str(REPO),
                "site_registry": addresses[MIRROR],
                "site_mirror_url": f"https://{addresses[MIRROR]}",
                "site_ca_file": str(folder / "ca.crt"),
                "site_models": [MODEL],
                "site_model_manifests": {MODEL: manifest_sha256(MODEL)},
                "site_controller_system": "Debian-12",
                "base_apt_key_file": str(folder / "apt-key.asc"),
                "container_runtime_registry_password": HOSTS["rack"],
                "mirror_server_names": [addresses[MIRROR], MIRROR],
                "mirror_server_certificate_file": str(folder / "server.crt"),
                "mirror_server_key_file": str(folder / "server.key"),
                "mirror_server_ca_file": str(folder / "ca.crt"),
                "mirror_server_pull_users": HOSTS,
                "mirror_server_push_users": FILLER,
                "mirror_server_registry_min_gb": 1,
                "weights_models": [MODEL],
                "weights_sources": [f"https://{addresses[MIRROR]}/models"],
                "weights_manifest_sha256": {MODEL: manifest_sha256(MODEL)},
                "weights_package_dir": str(REPO / "python"),
            }
        )
    )


def _chosen(site: Site) -> list[Item]:
    """Debian's packages of both hosts, the pause image from the lab's registry, one wheel and the model."""
    table = Upstream(versions.written(), upstream.table(upstream.addresses()))
    urls = {repository.url for repository in table.repositories() if repository.name != upstream.STAND_IN}
    chosen = []
    for item in needed(site, kinds=("apt", "image", "wheel", "model"), variant="cpu", upstream=table):
        by_host = {"mirror", SERVED} & set(item.used_by.split(", "))
        if item.kind == "apt" and item.source.split()[0] in urls and by_host:
            chosen.append(item)
        elif item.kind == "image" and item.name.startswith("kubernetes/pause:"):
            chosen.append(Item("image", "", item.name, item.at, f"{client.REGISTRY_ADDRESS}/{item.name}"))
        elif (item.kind == "wheel" and item.name == "packaging" and "controller" in item.group) or item.kind == "model":
            chosen.append(item)
    return chosen


def _fill(world: World) -> None:
    """Fill and sign the folder. Debian's packages of the lab's cache are in it already, as after a pause."""
    out, base_tar = world.folder / "carried", rootfs.build(rootfs.BASE)[0]
    shutil.copytree(bundles.debian(base_tar).obtain() / "apt", out / "apt", copy_function=os.link)
    with tarfile.open(rootfs.build(rootfs.HOST)[0]) as tar:
        member = tar.extractfile("./var/lib/dpkg/status")
        assert member is not None
        (world.folder / "status").write_bytes(member.read())
    table = Upstream(versions.written(), upstream.table(upstream.addresses()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**client.environment(), **upstream.proxy()}.items():
            patch.setenv(name, value)
        fill(world.items, world.at, out, table, {rootfs.SUITE: world.folder / "status"})
    product.sign(out, keys.of_bundles()[0])


def test_a_host_serves_the_folder_that_it_is_installed_from(world: World) -> None:
    world.bring("--kind=apt")
    models = rack.DISKS / MIRROR / "srv/www/models"
    shutil.copytree(server.MODELS / MODEL, models / MODEL, copy_function=os.link)
    assert world.play("ansible/mirror.yml", "--check")[MIRROR] > 0
    assert world.play("ansible/mirror.yml")[MIRROR] > 0
    assert world.play("ansible/mirror.yml") == {MIRROR: 0}


def test_it_has_all_that_was_carried(world: World) -> None:
    world.bring("--kind=image")
    assert not missing(world.site(), world.items, {rootfs.SUITE: world.folder / "status"})


def test_pip_takes_wheels_from_it(world: World, tmp_path: Path) -> None:
    [wheel] = [item for item in world.items if item.kind == "wheel"]
    fetch = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-index", "--find-links", wheel.at]
    fetch += ["--cert", str(world.folder / "ca.crt"), "--dest", str(tmp_path), f"{wheel.name}=={wheel.version}"]
    # A variable of this machine that names authorities would come before the option.
    done = subprocess.run(fetch, check=False, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.whl"))) == 1


def test_whoever_may_pull_may_not_push(world: World) -> None:
    [image] = [item for item in world.items if item.kind == "image"]
    own = f"docker://{world.at}/{image.name}"
    copy = ["skopeo", "copy", "--quiet", "--dest-creds", ":".join(*HOSTS.items()), "--src-creds"]
    copy += [":".join(*HOSTS.items()), own, f"docker://{world.at}/other:1"]
    trusted = {**os.environ, "SSL_CERT_FILE": str(world.folder / "ca.crt")}
    done = subprocess.run(copy, check=False, capture_output=True, text=True, env=trusted)
    assert done.returncode != 0
    assert re.search("unauthorized|authentication required", done.stderr), done.stderr


def test_a_host_gets_packages_images_and_models_from_it_alone(world: World) -> None:
    [image] = [item for item in world.items if item.kind == "image"]
    asked = ["skopeo", "inspect", "--format={{.Digest}}", "--creds", ":".join(*HOSTS.items())]
    trusted = {**os.environ, "SSL_CERT_FILE": str(world.folder / "ca.crt")}
    digest = subprocess.run(
        [*asked, f"docker://{image.at}"], check=True, capture_output=True, text=True, env=trusted
    ).stdout.strip()
    reference = f"{image.at.rpartition(':')[0]}@{digest}"
    world.play(
        world.folder / "install.yml", "--extra-vars", json.dumps({"container_runtime_preload_images": [reference]})
    )
    assert "install ok installed" in world.on_served("dpkg", "--status", "containerd")
    assert reference in world.on_served("ctr", "--namespace", "k8s.io", "images", "list", "--quiet").split()
    staged = world.on_served("sha256sum", f"/var/lib/qwen/models/{MODEL}/manifest.json").split()[0]
    assert staged == manifest_sha256(MODEL)
    log = (rack.DISKS / MIRROR / "var/log/nginx/access.log").read_text()
    assert {"apt", "v2", "models"} <= set(re.findall(rf'^{world.addresses[SERVED]} .*?"GET /(\w+)', log, re.MULTILINE))
    by_others = RECORD.read_text()[world.recorded :]
    assert f"{world.addresses[SERVED]} " not in by_others
