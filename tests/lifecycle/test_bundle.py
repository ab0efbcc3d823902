"""The lab's bundle as a closed site gets it: filled, signed, packed, verified, imported and checked without a route.

Upstreams are the lab's: its archives of packages, and the registry that stands in for those of projects. The site is
one registry and one folder in a network namespace that has loopback alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab.cluster import stack
from lab.hosts import rootfs
from lab.mirror import authority, bundles, client, keys, product, server, upstream, upstream_images
from lab.mirror.bundles import KEY_USER
from lab.paths import BIN, REPO
from lab.shell import output
from tests.support.waiting import wait_until

PORT = 5443
REGISTRY = f"127.0.0.1:{PORT}"
MIRROR = [sys.executable, "mirror/qwen-mirror"]


@dataclass
class Site:
    """A closed site: its folder, its namespace by the registry's process, and the options that name its upstreams."""

    folder: Path
    process: subprocess.Popen[bytes]
    options: list[str]

    @property
    def inside(self) -> list[str]:
        return ["nsenter", "--target", str(self.process.pid), "--net"]

    def run(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run inside the namespace; what it prints is shown where it fails."""
        done = subprocess.run(
            [*self.inside, *argv],
            cwd=REPO,
            env={**os.environ, **(env or {})},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority.sign(folder, "site", "127.0.0.1")
    tls = {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")}
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    settings = {"version": 0.1, "storage": storage, "http": {"addr": REGISTRY, "tls": tls}}
    (folder / "registry.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(upstream.table(upstream.addresses()), folder / "upstream.yml")
    values = {
        "site_registry": REGISTRY,
        "base_apt_url": f"file:{folder}/srv/apt",
        "base_apt_key_file": str(folder / "key.asc"),
        "base_ca_file": str(folder / "ca.crt"),
        "container_runtime_registry_user": "",
    }
    (folder / "values.yml").write_text(yaml.safe_dump(values))
    (folder / "Pulumi.local.yaml").write_text(yaml.safe_dump(stack.committed()).replace(client.REGISTRY, REGISTRY))
    options = [*product.site_options(folder / "upstream.yml"), f"--extra-vars={folder}/values.yml"]
    options += [f"--stack={folder}/Pulumi.local.yaml", "--kind=apt", "--kind=image"]
    start = f"ip link set lo up && exec {BIN}/registry serve {folder}/registry.yml"
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["unshare", "--net", "sh", "-c", start], stdout=log, stderr=log)
        try:
            yield Site(folder, process, options)
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def filled(site: Site) -> Iterator[Path]:
    """The bundle, signed. Debian's packages of the lab's cache are in it from an earlier run, as after a pause."""
    out, base_tar = site.folder / "carried", rootfs.build(rootfs.BASE)[0]
    shutil.copytree(bundles.debian(base_tar).obtain() / "apt", out / "apt", copy_function=os.link)
    upstream.make_stand_in()
    status = bundles.status(base_tar, site.folder)
    began = time.monotonic()
    fill = [*MIRROR, "fill", "inventory/local", "--out", str(out), *site.options, f"--status={rootfs.SUITE}={status}"]
    reached = {**upstream_images.environment(), **upstream.proxy()}
    with upstream_images.served(upstream_images.CATALOGUES):
        subprocess.run(fill, cwd=REPO, env={**os.environ, **reached}, check=True)
    product.sign(out, keys.of_bundles()[0])
    say("fill and sign", out, began)
    yield out
    shutil.rmtree(upstream.FOLDER)


def say(step: str, folder: Path, began: float) -> None:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(json.dumps({"step": step, "gigabytes": round(size / 1e9, 2), "seconds": round(time.monotonic() - began, 1)}))


def test_the_site_is_whole_after_an_import_without_a_route(site: Site, filled: Path) -> None:
    trusted = [
        "curl",
        "--silent",
        "--fail",
        "--output",
        "/dev/null",
        "--cacert",
        str(site.folder / "ca.crt"),
        f"https://{REGISTRY}/v2/",
    ]
    wait_until(lambda: subprocess.run([*site.inside, *trusted], check=False).returncode == 0, "the registry")
    assert site.run("ip", "route") == ""
    _, public = keys.of_bundles()
    keys.export(KEY_USER, site.folder / "key.asc")
    signer = [f"--key={public}", f"--to={site.folder}/srv", f"--apt-key={keys.fingerprint(KEY_USER)}"]
    began = time.monotonic()
    site.run(*MIRROR, "import", "inventory/local", filled, *site.options, *signer, env=keys.ENVIRONMENT)
    keys.end_agent()
    say("import", filled, began)
    status = f"--status={rootfs.SUITE}={site.folder}/status"
    began = time.monotonic()
    assert "missing: 0; asked for: " in site.run(*MIRROR, "check", "inventory/local", *site.options, status)
    say("check", filled, began)


def test_the_site_has_what_the_labs_mirror_serves(site: Site) -> None:
    path = f"dists/{rootfs.SUITE}/main/binary-amd64/Packages"
    served = packages(output("podman", "exec", server.CONTAINER, "cat", f"/srv/apt/{path}"))
    imported = packages((site.folder / "srv/apt" / path).read_text())
    assert imported <= served
    # The lab's mirror has NVIDIA's packages of every row of the table, this site those of one.
    assert all("nvidia" in name or name.startswith(("cuda-", "libcu")) for name, _ in served - imported)


def packages(text: str) -> set[tuple[str, str]]:
    """Name and version of each package of a list."""
    return set(re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", text, re.MULTILINE | re.DOTALL))


def test_one_new_package_is_carried_alone(site: Site, filled: Path) -> None:
    before = site.folder / "before.json"
    shutil.copy(filled / "bundle.json", before)
    listed = json.loads(before.read_text())
    newest = next(file for file in listed["files"] if file["path"].endswith(".deb"))
    before.write_text(json.dumps({**listed, "files": [file for file in listed["files"] if file != newest]}))
    pack = [*MIRROR, "pack", str(filled), "--since", str(before), "--to", str(site.folder / "new")]
    said = subprocess.run(pack, cwd=REPO, check=True, capture_output=True, text=True).stdout
    [share] = re.findall(r"new: 1 files, .* GB, ([\d.]+)% of the whole", said)
    assert float(share) < 2
