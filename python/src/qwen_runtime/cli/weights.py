"""`qwen-runtime weights`: make and check model directories."""

from __future__ import annotations

import time
from pathlib import Path

from qwen_runtime import catalog, weights
from qwen_runtime.cli.common import Commands, Options, add


def add_to(commands: Commands) -> None:
    actions = commands.add_parser("weights", help="make and check model directories").add_subparsers(
        required=True, metavar="ACTION"
    )
    manifest = add(actions, "manifest", run_manifest, "write manifest.json for the files of a directory")
    manifest.add_argument("directory", type=Path)
    manifest.add_argument("--model", required=True, metavar="NAME")
    manifest.add_argument("--revision", metavar="ID", help="what the files were made from (default: the catalogue's)")
    verify = add(actions, "verify", run_verify, "check a directory against its manifest")
    verify.add_argument("directory", type=Path)
    verify.add_argument("--full", action="store_true", help="SHA-256 of every file as well")
    convert = add(actions, "convert", run_convert, "make a model directory from a GGUF file")
    source = convert.add_mutually_exclusive_group(required=True)
    source.add_argument("--gguf", type=Path, action="append", metavar="FILE", help="repeated: parts, in their order")
    source.add_argument("--source", type=Path, metavar="DIR", help="where the packages of --model are installed")
    convert.add_argument("--model", metavar="NAME", help="default: the name of --out")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="must not exist yet")


def run_manifest(options: Options) -> None:
    known = catalog.find(options.model)
    revision = options.revision or (known.revision if known else None)
    if revision is None:
        catalog.get(options.model)  # its message lists the names that need no --revision
    manifest = weights.write_manifest(options.directory, known.name if known else options.model, str(revision))
    _report("wrote", options.directory / weights.MANIFEST_NAME, manifest)


def run_verify(options: Options) -> None:
    started = time.monotonic()
    manifest = weights.verify(options.directory, full=options.full)
    kind = "full" if options.full else "fast"
    _report(f"verified ({kind}, {time.monotonic() - started:.2f} s)", options.directory, manifest)


def run_convert(options: Options) -> None:
    from qwen_runtime import convert

    name = options.model or options.out.name
    parts = options.gguf or convert.parts_of(name, options.source)
    _report("converted to", options.out, convert.convert(parts, options.out, name))


def _report(done: str, path: Path, manifest: weights.Manifest) -> None:
    print(
        f"{done} {path}: {manifest.model} {manifest.revision}, {len(manifest.files)} files, {manifest.size_bytes} bytes"
    )
