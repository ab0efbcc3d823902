"""Upstreams on this machine: packages, images and wheels of a few bytes, and the table of their addresses."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from mirror.bring.folder import bring
from mirror.fill.folder import fill
from mirror.item import Item
from mirror.upstream import Upstream

SITE = "registry.example.internal"
NO_STATUS: dict[str, Path] = {}


@dataclass
class World:
    """Upstreams on this machine, and what a site needs of them."""

    folder: Path
    registry: str
    authority: Path
    key: str
    items: list[Item]
    upstream: Upstream

    def fill(self, out: Path, items: list[Item] | None = None) -> None:
        fill(items or self.items, SITE, out, self.upstream, NO_STATUS)

    def bring(self, out: Path, root: Path, site: str = SITE) -> list[str]:
        return bring(out, site, self.items, root, self.key, self.authority)


def make_wheel(folder: Path, name: str) -> str:
    """A wheel for every Python; returns its digest."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def put_blob(blobs: Path, content: bytes) -> dict[str, object]:
    """Put a blob into the folder of a layout; returns digest and size, as a manifest names it."""
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def make_image(layout: Path, *architectures: str) -> None:
    """An OCI layout of one image with one layer; for several architectures, as projects publish them, by an index."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    blob = partial(put_blob, blobs)
    tar = os.urandom(64 << 10)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]}
    layer = blob(gzip.compress(tar, mtime=0))
    kind = "application/vnd.oci.image"

    def described(architecture: str) -> dict[str, object]:
        platform = {"architecture": architecture, "os": "linux"}
        config = blob(json.dumps({**platform, "config": {}, "rootfs": rootfs}).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", **config},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", **layer}],
        }
        return {"mediaType": manifest["mediaType"], "platform": platform, **blob(json.dumps(manifest).encode())}

    entry = described("amd64")
    if architectures:
        index = {"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": []}
        index["manifests"] = [described(architecture) for architecture in architectures]
        entry = {"mediaType": index["mediaType"], **blob(json.dumps(index).encode())}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def table(folder: Path, fingerprint: str = "") -> Path:
    shown = subprocess.run(
        ["gpg", "--show-keys", "--with-colons", folder / "apt-key.asc"], check=True, capture_output=True, text=True
    ).stdout
    [known, *_] = [line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:")]
    row = {"url": f"file:{folder}/apt", "suites": ["jammy"], "components": ["main"], "systems": ["Ubuntu-22.04"]}
    row |= {"key": str(folder / "apt-key.asc"), "fingerprint": fingerprint or known}
    file = folder / f"upstream{fingerprint}.yml"
    file.write_text(yaml.safe_dump({"apt": {"ubuntu": row}}))
    return file
