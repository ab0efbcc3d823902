"""Build the images that the site registry lacks, push them, and print every image's reference as JSON.

An image is built again only when one of its inputs has changed: its Containerfile, a file that it copies, its lock, the
project's own wheels, its base, its apt source, or the apt repository's lists where they are given. A build reaches
nothing but the site's mirror.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from qwen_runtime import site_registry
from qwen_runtime.errors import UsageError

from .apt_source import AptSource
from .builder import Builder
from .catalog import CATALOG, VERSIONS, Image, ImageError, choose, load
from .registry import Registry

WORK = Path("/var/tmp/qwen-onprem-images")
FORM = "host[:port], or host[:port]/path where images lie below a project or a folder"


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
    chosen: set[str] = set()
    wanted = set(names or by_name)
    while wanted:
        chosen |= wanted
        wanted = {base for name in wanted if (base := by_name[name].base) and ":" not in base} - chosen
        if not wanted <= by_name.keys():
            raise ImageError("no --variant", "--variant for the runtime, cpu or cuda", "give it")
    return [i for i in images if i.name in chosen]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="IMAGE", help="images to build and push; all if none is named")
    parser.add_argument("--registry", required=True, metavar="NAME", help=f"the registry's name in the cluster: {FORM}")
    parser.add_argument("--push-to", metavar="NAME", help="the same registry, as this machine reaches it")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    parser.add_argument("--catalog", type=Path, action="append", help="catalogue that replaces images/catalog.yml")
    parser.add_argument("--versions", type=Path, default=VERSIONS, help="file that replaces versions.yml")
    parser.add_argument("--variant", help="variant of the runtime: cpu or cuda")
    parser.add_argument("--bin", type=Path, help="folder of built binaries")
    parser.add_argument("--wheels", type=Path, help="folder of the locked wheels, and uv's")
    parser.add_argument("--code", type=Path, help="folder of the wheels of this project, all of which are installed")
    parser.add_argument("--apt", metavar="URL", help="the site's apt repository, which bases get as their only one")
    parser.add_argument("--apt-key", type=Path, metavar="FILE", help="public key that signs it, armoured")
    parser.add_argument(
        "--apt-ca", type=Path, metavar="FILE", help="authority of its certificate, where it is the site's"
    )
    parser.add_argument(
        "--apt-release", type=Path, action="append", default=[], metavar="FILE",
        help="InRelease of a suite of the site's apt repository: packages are installed anew when it has changed",
    )  # fmt: skip
    parser.add_argument(
        "--provenance", type=Path, metavar="DIR", help="folder for a statement of each build: what it was made from"
    )
    parser.add_argument("--work", type=Path, default=WORK, help="folder for the build's storage, removed at the end")
    return parser.parse_args()


def _builder(options: argparse.Namespace) -> Builder:
    """The run that the options describe. Raises UsageError for a registry whose name is none."""
    registry = site_registry.parse(options.registry, "--registry")
    push_to = site_registry.parse(options.push_to, "--push-to") if options.push_to else registry
    return Builder(
        registry=registry,
        push_to=Registry(push_to, options.plain_http),
        bin=options.bin,
        wheels=options.wheels,
        code=options.code,
        apt=AptSource(options.apt, options.apt_key, options.apt_ca) if options.apt and options.apt_key else None,
        releases=options.apt_release,
        statements=options.provenance,
    )


def main() -> int:
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the storage is removed on the way out
    try:
        builder = _builder(options)
        catalogue = [image for path in options.catalog or [CATALOG] for image in load(path, options.versions)]
        images = selected(choose(catalogue, options.variant), options.names)
        built = build(builder, images, options.work)
    except (ImageError, UsageError) as error:
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
