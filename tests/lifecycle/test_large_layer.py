"""An image with a layer above 6 GB is carried from registry to registry: filled, packed in parts, signed, imported.

The registries are processes of this machine, so that no lab has to be up. What a step has used is removed at once:
three times the layer is the most that lies on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lab.mirror import authority, keys
from lab.paths import BIN, REPO
from tests.support.disk import Peak
from tests.support.ports import free_port
from tests.support.waiting import wait_until

LAYER_BYTES = 6_200_000_000
LARGEST_ON_FAT_BYTES = (4 << 30) - 1
ROOM_BYTES = 3 * LAYER_BYTES + 2_000_000_000
MEMORY_BYTES = 1_000_000_000
"""More than any program may use of memory: a layer passes through."""
SMALL_DISK_BYTES = 1_000_000_000
NAME = "models/large:1.0"
MIRROR = [sys.executable, "mirror/qwen-mirror"]


@dataclass
class Registry:
    """A registry with TLS, and the folder that it keeps images in."""

    folder: Path
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def uploads(self) -> list[Path]:
        """Files of images that came in part."""
        return list(self.storage.rglob("_uploads/**/data"))

    @contextmanager
    def serving(self, world: Path, disk: Sequence[str] = ()) -> Iterator[None]:
        """Serve until the block ends, and keep nothing. `disk`: begins the command, for a disk of its own."""
        tls = {"certificate": str(world / "server.crt"), "key": str(world / "server.key")}
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}},
            "http": {"addr": self.address, "tls": tls},
        }
        self.storage.mkdir(parents=True)
        (self.folder / "registry.yml").write_text(yaml.safe_dump(settings))
        with (self.folder / "log").open("wb") as log:
            serve = [*disk, BIN / "registry", "serve", self.folder / "registry.yml"]
            process = subprocess.Popen(serve, stdout=log, stderr=log)
            try:
                asked = ["curl", "--silent", "--fail", "--cacert", world / "ca.crt", f"https://{self.address}/v2/"]
                wait_until(lambda: not subprocess.run(asked, check=False, capture_output=True).returncode, "registry")
                yield
            finally:
                process.terminate()
                process.wait()
                shutil.rmtree(self.folder)


@dataclass
class World:
    """A folder with what is carried between two registries, and the inventory of a site that needs this image alone."""

    folder: Path
    site: Registry
    digest: str = ""
    """Digest of the image's manifest, where it comes from."""

    @property
    def medium(self) -> Path:
        return self.folder / "medium"

    def measure(self, step: str, *argv: str | Path) -> str:
        """Run to a good end, and print how long it took and how much of the disk was taken at most."""
        began = time.monotonic()
        with Peak(self.folder) as peak:
            printed = self.run(*argv)
        seconds = round(time.monotonic() - began, 1)
        print(json.dumps({"step": step, "seconds": seconds, "peak_gigabytes": round(peak.bytes / 1e9, 1)}), flush=True)
        return printed

    def run(self, *argv: str | Path) -> str:
        done = self.attempt(*argv)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def attempt(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        trusted = {**os.environ, "SSL_CERT_FILE": str(self.folder / "ca.crt")}
        return subprocess.run(argv, cwd=REPO, env=trusted, check=False, capture_output=True, text=True)

    def digest_at(self, reference: str) -> str:
        return self.run("skopeo", "inspect", "--format={{.Digest}}", f"docker://{reference}").strip()

    def importing(self, root: Path) -> list[str | Path]:
        signer = [f"--key={keys.of_bundles()[1]}", "--apt-key=none", f"--to={root}"]
        return [*MIRROR, "import", self.folder / "inventory", self.medium, "--kind=image", *self.options, *signer]

    @property
    def options(self) -> list[str]:
        return [f"--upstream={self.folder}/upstream.yml"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A medium with the image, signed; the registry that it comes from is gone, and the site's does not serve yet."""
    folder = tmp_path_factory.mktemp("large")
    if not (BIN / "registry").exists():
        pytest.skip("found no registry; needed the one that `make up` builds; remedy: run it")
    if (free := shutil.disk_usage(folder).free) < ROOM_BYTES:
        pytest.skip(
            f"found {free / 1e9:.0f} GB free at {folder}; needed {ROOM_BYTES / 1e9:.0f} GB for a large layer; "
            "remedy: make room, or name another place by TMPDIR"
        )
    authority.sign(folder, "site", "127.0.0.1")
    world = World(folder, Registry(folder / "site"))
    try:
        _describe(world)
        _carry(world)
        yield world
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def site(world: World) -> Iterator[Registry]:
    with world.site.serving(world.folder):
        yield world.site


def _describe(world: World) -> None:
    """Write the inventory of a site with one host."""
    hosts = {"ungrouped": {"hosts": {"host1": {}}}}
    values = {
        "site_system": "Debian-12",
        "site_registry": world.site.address,
        "kubernetes_image_repository": f"{world.site.address}/kubernetes",
        "base_ca_file": str(world.folder / "ca.crt"),
    }
    (world.folder / "inventory/group_vars").mkdir(parents=True)
    (world.folder / "inventory/hosts.yml").write_text(yaml.safe_dump(hosts))
    (world.folder / "inventory/group_vars/all.yml").write_text(yaml.safe_dump(values))


def _carry(world: World) -> None:
    """Push, fill, pack and sign; each step's source goes when the next one has it."""
    origin, image, filled = Registry(world.folder / "origin"), world.folder / "image", world.folder / "filled"
    sections = {"kubeadm": {}, "named": {NAME.rpartition(":")[0]: f"{origin.address}/{NAME}"}, "bases": {}}
    (world.folder / "upstream.yml").write_text(yaml.safe_dump({"images": sections, "apt": {}}))
    _make_image(image)
    with origin.serving(world.folder):
        # Otherwise skopeo compresses the layer on its way.
        push = ["skopeo", "copy", "--quiet", "--preserve-digests", f"oci:{image}:1.0"]
        world.measure("push", *push, f"docker://{origin.address}/{NAME}")
        shutil.rmtree(image)
        world.digest = world.digest_at(f"{origin.address}/{NAME}")
        site = [world.folder / "inventory", "--kind=image", *world.options]
        world.measure("fill", *MIRROR, "fill", *site, "--out", filled)
    # As on a medium with FAT, no file may be larger.
    on_fat = ["prlimit", f"--fsize={LARGEST_ON_FAT_BYTES}"]
    world.measure("pack", *on_fat, *MIRROR, "pack", filled, "--to", world.medium)
    shutil.rmtree(filled)
    world.measure("sign", *MIRROR, "sign", world.medium, "--key", keys.of_bundles()[0])


def _make_image(layout: Path) -> None:
    """An OCI layout of one image; its layer is an archive of one file, all holes, that takes no room on the disk."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    kind = "application/vnd.oci.image"

    def named(media: str, made: Path) -> dict[str, object]:
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        made.rename(blobs / digest)
        size_bytes = (blobs / digest).stat().st_size
        return {"mediaType": f"{kind}.{media}", "digest": f"sha256:{digest}", "size": size_bytes}

    def document(content: object) -> Path:
        made = layout / "document"
        made.write_text(json.dumps(content))
        return made

    entry = tarfile.TarInfo("weights")
    entry.size = LAYER_BYTES
    archive = layout / "layer"
    archive.write_bytes(entry.tobuf(tarfile.GNU_FORMAT))
    os.truncate(archive, tarfile.BLOCKSIZE + -(-LAYER_BYTES // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE + 1024)
    layer = named("layer.v1.tar", archive)
    machine = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    config = named("config.v1+json", document(machine))
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", "config": config, "layers": [layer]}
    described = named("manifest.v1+json", document(manifest))
    described["annotations"] = {"org.opencontainers.image.ref.name": "1.0"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def test_the_layer_lies_in_parts_that_every_file_system_takes(world: World) -> None:
    sizes = [file.stat().st_size for file in world.medium.rglob("*.part*")]
    assert len(sizes) == 2
    assert sum(sizes) > LAYER_BYTES
    assert max(sizes) <= LARGEST_ON_FAT_BYTES


def test_a_registry_whose_disk_fills_up_is_named_and_nothing_is_left_beside_it(world: World) -> None:
    root = world.folder / "srv"
    with world.site.serving(world.folder, disk=small_disk(world.site.storage, "exec")):
        done = world.attempt(*world.importing(root))
    assert done.returncode == 1
    assert "remedy: Look at the registry's log and at its free disk" in done.stderr
    assert list(root.iterdir()) == [], "the layer that was put together is gone again"


def test_a_full_disk_at_the_site_is_refused_before_anything_is_changed(world: World, site: Registry) -> None:
    """A disk that has no room for the layer, where its parts would be put together."""
    done = world.attempt(*import_to_a_small_disk(world))
    assert done.returncode == 2
    assert "found:  1.0 GB free at" in done.stderr
    assert "needed: 6.2 GB" in done.stderr
    assert "nothing was changed" in done.stderr
    assert "left on the disk: 0" in done.stdout
    assert not list(site.storage.iterdir())


def test_an_image_with_a_large_layer_arrives_with_its_digest(world: World, site: Registry) -> None:
    root = world.folder / "srv"
    assert "images in the registry: 1" in world.measure("import", *world.importing(root))
    assert world.digest_at(f"{site.address}/{NAME}") == world.digest
    assert list(root.iterdir()) == [], "the layer that was put together is gone again"
    assert site.uploads == []


@pytest.mark.usefixtures("site")
def test_a_second_import_needs_no_room_for_the_layer(world: World) -> None:
    assert "images in the registry: 1" in world.measure("second import", *import_to_a_small_disk(world))


def test_no_program_held_the_layer_in_memory(world: World) -> None:
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < MEMORY_BYTES


def import_to_a_small_disk(world: World) -> list[str | Path]:
    """The import to a disk of its own, which then says how many files that left there."""
    root = world.folder / "small"
    root.mkdir(exist_ok=True)
    look = f'; ended=$?; echo "left on the disk: $(find {root} -mindepth 1 | wc --lines)"; exit $ended'
    return [*small_disk(root, "", look), *world.importing(root)]


def small_disk(folder: Path, before: str = "", behind: str = "") -> list[str]:
    """Begin a command that finds a small disk at a folder; `before` and `behind` are a shell's, around it."""
    mount = f"mount -t tmpfs -o size={SMALL_DISK_BYTES} none {folder}"
    return ["unshare", "--mount", "sh", "-c", f'{mount} && {before} "$@"{behind}', "sh"]
