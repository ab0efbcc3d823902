"""The packages of an image are those that its layers leave together, read by the real skopeo from a layout on disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from functools import partial
from pathlib import Path

import pytest

from mirror.contents import image
from mirror.item import Item
from mirror.needs import spdx
from mirror.tools.programs import ToolError
from tests.fakes.upstreams import put_blob

KIND = "application/vnd.oci.image"
AT = "registry.example.internal/qwen-onprem/thing"
DPKG = """\
Package: libc6
Status: install ok installed
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Version: 1.0
"""
RELEASE = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian"\n'
WHEELS = "opt/venv/lib/python3.11/site-packages"


def metadata(name: str, version: str) -> dict[str, str]:
    return {f"{WHEELS}/{name}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n\nName: not this\n"}


def write(folder: Path, *layers: dict[str, str]) -> str:
    """An OCI layout of these layers, files by path; returns its name for skopeo."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    blob = partial(put_blob, blobs)
    tars = [tar(files) for files in layers]
    diffs = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in tars]
    rootfs = {"type": "layers", "diff_ids": diffs}
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode())
    packed = [{"mediaType": f"{KIND}.layer.v1.tar+gzip", **blob(gzip.compress(content, mtime=0))} for content in tars]
    described = {"mediaType": f"{KIND}.config.v1+json", **config}
    manifest = {"schemaVersion": 2, "mediaType": f"{KIND}.manifest.v1+json", "config": described, "layers": packed}
    entry = {"mediaType": manifest["mediaType"], **blob(json.dumps(manifest).encode())}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{folder}"


def tar(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def found(source: str) -> set[tuple[str, str, str]]:
    return {(item.kind, item.name, item.version) for item in image.packages(source, (), AT)}


def test_packages_of_debian_and_python_are_named(tmp_path: Path) -> None:
    files = {"var/lib/dpkg/status": DPKG, "etc/os-release": RELEASE, "usr/share/doc/METADATA": "Name: no\nVersion: 1\n"}
    source = write(tmp_path, {**files, **metadata("torch", "2.13.0")})
    assert found(source) == {("apt", "libc6", "2.36-9"), ("wheel", "torch", "2.13.0")}


def test_a_package_that_a_later_layer_replaces_counts_once(tmp_path: Path) -> None:
    removed = {f"{WHEELS}/.wh.torch-2.12.0.dist-info": "", "var/lib/.wh.dpkg": ""}
    base = {**metadata("torch", "2.12.0"), **metadata("numpy", "2.0"), "var/lib/dpkg/status": DPKG}
    source = write(tmp_path, base, {**removed, **metadata("torch", "2.13.0")})
    assert found(source) == {("wheel", "torch", "2.13.0"), ("wheel", "numpy", "2.0")}


def test_a_folder_that_a_layer_empties_has_nothing_of_the_layers_below(tmp_path: Path) -> None:
    source = write(tmp_path, metadata("torch", "2.12.0"), {f"{WHEELS}/.wh..wh..opq": "", **metadata("numpy", "2.0")})
    assert found(source) == {("wheel", "numpy", "2.0")}


def test_images_without_dpkg_have_a_file_for_each_package(tmp_path: Path) -> None:
    stanza = "Package: tzdata\nVersion: 2026a-0\n"
    source = write(tmp_path, {"var/lib/dpkg/status.d/tzdata": stanza, "usr/lib/os-release": RELEASE})
    assert found(source) == {("apt", "tzdata", "2026a-0")}


def test_the_document_names_the_release_of_each_package(tmp_path: Path) -> None:
    source = write(tmp_path, {"var/lib/dpkg/status": DPKG, "etc/os-release": RELEASE})
    [package] = json.loads(spdx.document(image.packages(source, (), AT), AT))["packages"]
    [purl] = [reference["referenceLocator"] for reference in package["externalRefs"]]
    assert purl == "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=bookworm"


def test_an_image_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"image {AT}: "):
        image.packages(f"oci:{tmp_path}/nothing", (), AT)


def test_an_image_of_one_program_has_no_packages(tmp_path: Path) -> None:
    found_items: list[Item] = image.packages(write(tmp_path, {"usr/bin/program": "text"}), (), AT)
    assert found_items == []
