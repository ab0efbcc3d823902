"""Fixtures of the mirror's tests: a site and upstreams on this machine, and a disk that is too small."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.paths import BIN
from mirror.bring.packages import publish
from mirror.item import Item
from mirror.needs.items import needed
from mirror.site import Site
from mirror.upstream import Upstream
from tests.fakes import site_mirror
from tests.fakes.site_mirror import SiteMirror
from tests.fakes.upstreams import World, make_image, make_wheel, table
from tests.support import asked_site
from tests.support.asked_site import EXAMPLE, Settings
from tests.support.debian import make_package
from tests.support.ports import free_port
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteMirror]:
    with site_mirror.serve(tmp_path_factory.mktemp("mirror")) as served:
        yield served


@pytest.fixture(scope="module")
def settings(mirror: SiteMirror, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return asked_site.describe(mirror, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def listed(settings: Settings) -> list[Item]:
    return needed(Site(EXAMPLE, stack=settings.stack, extra_vars=[settings.values]))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a real registry with TLS, and its authority."""
    if not (BIN / "registry").exists():
        pytest.skip("needs the registry that `make up` builds")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    site_mirror._make_certificate(folder)
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "tls": {"certificate": str(folder / "ca.crt"), "key": str(folder / "server.key")},
        },
    }
    (folder / "registry.yml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen(
        [BIN / "registry", "serve", folder / "registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        trusted = ["curl", "--silent", "--fail", "--cacert", str(folder / "ca.crt"), f"https://127.0.0.1:{port}/v2/"]
        wait_until(lambda: subprocess.run(trusted, check=False, capture_output=True).returncode == 0, "the registry")
        yield f"127.0.0.1:{port}", folder / "ca.crt"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def upstreams(registry: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    address, authority = registry
    folder = tmp_path_factory.mktemp("upstream")
    pool = folder / "apt/pool/jammy"
    pool.mkdir(parents=True)
    for name, depends in {"kubelet": "conntrack", "conntrack": ""}.items():
        make_package(pool, name, depends=depends)
    make_package(pool, "ethtool", version="1:6.1-1")
    site_mirror._make_key(folder)
    make_image(folder / "image")
    make_image(folder / "index", "arm64", "amd64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(folder / "gnupg"))
        patch.setenv("SSL_CERT_FILE", str(authority))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder / "index"))
        publish(folder / "apt", "jammy", "site")
        for layout, name in {"image": "pause", "index": "tool"}.items():
            copy = ["skopeo", "copy", "--all", f"oci:{folder / layout}", f"docker://{address}/library/{name}:1.0"]
            subprocess.run(copy, check=True, capture_output=True)
        (folder / "engine.tar.gz").write_bytes(gzip.compress(b"engine"))
        url = f"file:{folder}"
        digest = make_wheel(folder / "index", "thing")
        items = [
            Item("apt", "jammy", "kubelet", "", f"{url}/apt jammy", version="1.0-1"),
            Item(
                "image", "", "kubernetes/pause:1.0", f"{address}/kubernetes/pause:1.0", f"{address}/library/pause:1.0"
            ),
            Item("wheel", "locks/controller.txt, Python 3.12", "thing", "", "", version="1.0", digests=(digest,)),
            Item("image", "", "own/tool:1.0", f"{address}/own/tool:1.0", f"{address}/library/tool:1.0"),
            Item("tool", "", "engine.tar.gz", "", f"file://{folder}/engine.tar.gz"),
            Item("apt", "jammy", "ethtool", "", f"{url}/apt jammy"),
        ]
        yield World(folder, address, authority, "site", items, Upstream(file=table(folder)))
    subprocess.run(["gpgconf", "--homedir", folder / "gnupg", "--kill", "gpg-agent"], check=False)
