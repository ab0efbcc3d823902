"""One image: its base and its inputs, and a build with a push if the registry lacks it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from qwen_runtime.site_registry import SiteRegistry

from . import provenance
from .apt_source import AptSource
from .catalog import ROOT, Image, ImageError
from .registry import Registry
from .storage import Storage, opened

Given = TypeVar("Given", Path, AptSource)
INPUTS_LABEL = "io.qwen-onprem.inputs"


@dataclass(slots=True)
class Builder:
    """One run: the folders and registry that it uses, and the images that it has pushed so far.

    registry is the name by which the cluster knows it; push_to is the same registry as this machine reaches it.
    """

    registry: SiteRegistry
    push_to: Registry
    bin: Path | None
    wheels: Path | None
    code: Path | None
    apt: AptSource | None = None
    releases: Sequence[Path] = ()
    """Signed lists of the site's apt repository (InRelease), which change with every update of a package."""
    statements: Path | None = None
    """Folder for a statement of each build (provenance.py); without it none is written."""
    storage: Storage | None = None
    pushed: dict[str, tuple[str, str]] = field(default_factory=dict)  # image name: (repository, digest)
    local: dict[str, str] = field(default_factory=dict)  # image name: id in the storage

    @property
    def apt_source(self) -> AptSource:
        """The site's apt repository. Raises ImageError where none is given."""
        return _given(self.apt, "--apt and --apt-key")

    def base(self, image: Image) -> tuple[str, str] | None:
        """Repository and digest of the image's base."""
        if image.base is None:
            return None
        if ":" not in image.base:
            return self.pushed[image.base]
        repository, tag = image.base.split(":")
        digest = self.push_to.digest(repository, tag)
        if digest is None:
            raise ImageError(
                f"no {image.base} in the registry {self.push_to.site}",
                f"the base of image {image.name}",
                "put it into the site's mirror first",
            )
        return repository, digest

    def inputs(self, image: Image, base: tuple[str, str] | None) -> str:
        """Digest of all inputs of the image."""
        parts: dict[str, object] = {"containerfile": _sha256(image.containerfile), "base": base}
        parts |= {file.name: _sha256(file) for file in self.files(image)}
        if image.suite:
            parts["apt"] = self.apt_source.digest(image.suite)
        if image.packages and self.releases:
            parts["packages"] = sorted(_sha256(release) for release in self.releases)
        if image.code:
            parts |= {wheel.name: _contents(wheel) for wheel in self.own_wheels()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _read(self, image: Image) -> dict[str, str]:
        """SHA-256 of each file that a build of the image reads, beside those that a lock names by digest."""
        files = [image.containerfile, *self.files(image), *(self.own_wheels() if image.code else [])]
        files += self.releases if image.packages else []
        files += self.apt_source.read if image.suite else []
        return {_name(file): _sha256(file) for file in files}

    def files(self, image: Image) -> list[Path]:
        """Files of the build context."""
        lock = [ROOT / image.lock] if image.lock else []
        return [_given(self.bin, "--bin") / name for name in image.binaries] + lock

    def own_wheels(self) -> list[Path]:
        return sorted(_given(self.code, "--code").glob("*.whl"))

    def check(self, images: Sequence[Image]) -> None:
        """Refuse missing files at once, instead of after minutes of building."""
        missing = [str(f) for i in images for f in [i.containerfile, *self.files(i)] if not f.is_file()]
        missing += [str(release) for release in self.releases if not release.is_file()]
        if any(i.suite for i in images):
            missing += [str(file) for file in self.apt_source.read if not file.is_file()]
        if any(i.lock or i.code for i in images) and not list(_given(self.wheels, "--wheels").glob("uv-*.whl")):
            missing.append(f"{self.wheels}/uv-*.whl")
        if any(i.code for i in images) and not self.own_wheels():
            missing.append(f"{self.code}/*.whl")
        if missing:
            raise ImageError("nothing at " + ", ".join(missing), "these files", "make them first")

    def ensure(self, image: Image, open_storage: ExitStack, work: Path) -> bool:
        """Build and push the image if the registry lacks it; returns whether it was built."""
        base = self.base(image)
        inputs = self.inputs(image, base)
        tag = image.tag or inputs[:20]
        if self.push_to.labels(image.repository, tag).get(INPUTS_LABEL) == inputs:
            digest = self.push_to.digest(image.repository, tag)
            assert digest is not None
            self.pushed[image.name] = image.repository, digest
            return False
        if self.storage is None:
            self.storage = open_storage.enter_context(opened(work))
        begun = datetime.now(timezone.utc)
        try:
            self._build(image, base, inputs)
            digest = self._push(image, tag)
        except ImageError as error:
            raise ImageError(
                error.found,
                f"image {image.name} built and pushed",
                "mend what it names and run this again; images that are finished are not built again",
            ) from error
        if self.statements:
            name = f"{self.registry}/{image.repository}"
            build = provenance.Build(image, name, digest, inputs, base, self._read(image), begun)
            provenance.write(self.statements, build)
        self.pushed[image.name] = image.repository, digest
        return True

    def _build(self, image: Image, base: tuple[str, str] | None, inputs: str) -> None:
        assert self.storage is not None
        name = f"localhost/{image.name}"
        options = ["--label", f"{INPUTS_LABEL}={inputs}", "--tag", name]
        if base:
            options += ["--build-arg", f"REGISTRY={self.push_to.site}", "--build-arg", f"BASE_DIGEST={base[1]}"]
            options += ["--label", f"org.opencontainers.image.base.name={self.registry}/{base[0]}"]
            options += ["--label", f"org.opencontainers.image.base.digest={base[1]}"]
        if image.base in self.local:
            options += ["--from", self.local[image.base]]  # the same image, without fetching it back
        if image.lock or image.code:
            options += ["--volume", f"{_given(self.wheels, '--wheels').resolve()}:/wheels:ro"]
        if image.code:
            options += ["--volume", f"{_given(self.code, '--code').resolve()}:/code:ro"]
        with tempfile.TemporaryDirectory(dir=self.storage.temporary) as context:
            for file in self.files(image):
                shutil.copy(file, context)
            if image.suite:
                self.apt_source.write(image.suite, Path(context, "apt"))
            self.storage.buildah(
                *("bud", "--isolation", "chroot", "--layers=false", "--force-rm", "--format", "oci"),
                *("--http-proxy=false", "--pull=false", *self._tls(), *options),
                *("--file", str(image.containerfile), context),
            )
        self.local[image.name] = name

    def _push(self, image: Image, tag: str) -> str:
        assert self.storage is not None
        digest = self.storage.temporary / "digest"
        self.storage.buildah(
            *("push", "--format", "oci", "--compression-format", "zstd", "--digestfile", str(digest), *self._tls()),
            *(self.local[image.name], f"docker://{self.push_to.site}/{image.repository}:{tag}"),
        )
        return digest.read_text().strip()

    def _tls(self) -> list[str]:
        return ["--tls-verify=false"] if self.push_to.plain_http else []


def _name(file: Path) -> str:
    """Path in the tree; of a file elsewhere its name, of a suite's lists the suite too."""
    if file.resolve().is_relative_to(ROOT):
        return str(file.resolve().relative_to(ROOT))
    return f"{file.parent.name}/{file.name}" if file.name == "InRelease" else file.name


def _given(value: Given | None, option: str) -> Given:
    if value is None:
        raise ImageError(f"no {option}", f"{option} for one of the images", f"give {option}")
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _contents(wheel: Path) -> str:
    """Digest of a wheel's list of contents. The archive itself holds times, so it differs from build to build."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        return hashlib.sha256(archive.read(record)).hexdigest()
