"""Build the images that the site registry lacks, push them, and print every image's reference as JSON.

An image is built again only when one of its inputs has changed: its Containerfile, a file that it copies, its lock, the
project's own wheels, or its base. A build reaches nothing but the site's mirror.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .catalog import CATALOG, ROOT, VERSIONS, Image, ImageError, choose, load
from .registry import Registry
from .storage import Storage, opened

INPUTS_LABEL = "io.qwen-onprem.inputs"
WORK = Path("/var/tmp/qwen-onprem-images")


@dataclass(slots=True)
class Builder:
    """One run: the folders and registry that it uses, and the images that it has pushed so far.

    registry is the address by which the cluster names images; push_to is the same registry as this machine reaches it.
    """

    registry: str
    push_to: Registry
    bin: Path | None
    wheels: Path | None
    code: Path | None
    storage: Storage | None = None
    pushed: dict[str, tuple[str, str]] = field(default_factory=dict)  # image name: (repository, digest)
    local: dict[str, str] = field(default_factory=dict)  # image name: id in the storage

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
                f"no {image.base} in the registry {self.push_to.address}",
                f"the base of image {image.name}",
                "put it into the site's mirror first",
            )
        return repository, digest

    def inputs(self, image: Image, base: tuple[str, str] | None) -> str:
        """Digest of all inputs of the image."""
        parts = {"containerfile": _sha256(image.containerfile), "base": base}
        parts |= {file.name: _sha256(file) for file in self.files(image)}
        if image.code:
            parts |= {wheel.name: _contents(wheel) for wheel in self.own_wheels()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def files(self, image: Image) -> list[Path]:
        """Files of the build context."""
        lock = [ROOT / image.lock] if image.lock else []
        return [_given(self.bin, "--bin") / name for name in image.binaries] + lock

    def own_wheels(self) -> list[Path]:
        return sorted(_given(self.code, "--code").glob("*.whl"))

    def check(self, images: Sequence[Image]) -> None:
        """Refuse missing files at once, instead of after minutes of building."""
        missing = [str(f) for i in images for f in [i.containerfile, *self.files(i)] if not f.is_file()]
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
        try:
            self._build(image, base, inputs)
            digest = self._push(image, tag)
        except ImageError as error:
            raise ImageError(
                error.found,
                f"image {image.name} built and pushed",
                "mend what it names and run this again; images that are finished are not built again",
            ) from error
        self.pushed[image.name] = image.repository, digest
        return True

    def _build(self, image: Image, base: tuple[str, str] | None, inputs: str) -> None:
        assert self.storage is not None
        name = f"localhost/{image.name}"
        options = ["--label", f"{INPUTS_LABEL}={inputs}", "--tag", name]
        if base:
            options += ["--build-arg", f"REGISTRY={self.push_to.address}", "--build-arg", f"BASE_DIGEST={base[1]}"]
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
            *(self.local[image.name], f"docker://{self.push_to.address}/{image.repository}:{tag}"),
        )
        return digest.read_text().strip()

    def _tls(self) -> list[str]:
        return ["--tls-verify=false"] if self.push_to.plain_http else []


def build(builder: Builder, images: Sequence[Image], work: Path) -> list[str]:
    """Build and push the images that the registry lacks; returns their names."""
    builder.check(images)
    built = []
    with ExitStack() as storage:
        for number, image in enumerate(images, 1):
            begun = time.monotonic()
            print(f"image {number} of {len(images)}: {image.name}", file=sys.stderr, flush=True)
            if builder.ensure(image, storage, work):
                built.append(image.name)
                print(f"built {image.name} ({time.monotonic() - begun:.1f} s)", file=sys.stderr, flush=True)
    return built


def selected(images: list[Image], names: list[str]) -> list[Image]:
    """The named images with their bases; all images if none is named."""
    by_name = {i.name: i for i in images}
    unknown = sorted(set(names) - by_name.keys())
    if unknown:
        raise ImageError(f"image {', '.join(unknown)}", f"one of {', '.join(by_name)}", "name one of them")
    chosen = set(names or by_name)
    bases = {base for name in chosen if (base := by_name[name].base) and ":" not in base}
    if not bases <= by_name.keys():
        raise ImageError("no --variant", "--variant for the runtime, cpu or cuda", "give it")
    return [i for i in images if i.name in chosen | bases]


def _given(folder: Path | None, option: str) -> Path:
    if folder is None:
        raise ImageError(f"no {option}", f"{option} for one of the images", f"give the folder with {option}")
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _contents(wheel: Path) -> str:
    """Digest of a wheel's list of contents. The archive itself holds times, so it differs from build to build."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        return hashlib.sha256(archive.read(record)).hexdigest()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="IMAGE", help="images to build and push; all if none is named")
    parser.add_argument("--registry", required=True, metavar="HOST:PORT", help="the registry, as the cluster names it")
    parser.add_argument("--push-to", metavar="HOST:PORT", help="the same registry, as this machine reaches it")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    parser.add_argument("--catalog", type=Path, action="append", help="catalogue that replaces images/catalog.yml")
    parser.add_argument("--versions", type=Path, default=VERSIONS, help="file that replaces versions.yml")
    parser.add_argument("--variant", help="variant of the runtime: cpu or cuda")
    parser.add_argument("--bin", type=Path, help="folder of built binaries")
    parser.add_argument("--wheels", type=Path, help="folder of the locked wheels, and uv's")
    parser.add_argument("--code", type=Path, help="folder of the wheels of this project, all of which are installed")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for the build's storage, removed at the end")
    return parser.parse_args()


def main() -> int:
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the storage is removed on the way out
    builder = Builder(
        registry=options.registry,
        push_to=Registry(options.push_to or options.registry, options.plain_http),
        bin=options.bin,
        wheels=options.wheels,
        code=options.code,
    )
    try:
        catalogue = [image for path in options.catalog or [CATALOG] for image in load(path, options.versions)]
        images = selected(choose(catalogue, options.variant), options.names)
        built = build(builder, images, options.work)
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: finished images are in the registry, nothing else is left", file=sys.stderr)
        return 130
    references = {name: f"{options.registry}/{where}@{digest}" for name, (where, digest) in builder.pushed.items()}
    print(json.dumps({"images": references, "built": built}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
