"""Verified weights and a supervised engine. Exit codes: 0 done, 2 wrong command, 3 wrong weights, 4 host, 5 engine."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from qwen_runtime import __version__, catalog, weights
from qwen_runtime.errors import Error

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Options: TypeAlias = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    extra: list[str] = []
    if "--" in arguments:
        border = arguments.index("--")
        arguments, extra = arguments[:border], arguments[border + 1 :]
    parser = build_parser()
    options = parser.parse_args(arguments)
    if extra and options.run is not run_serve:
        parser.error("only `serve` takes arguments after --")
    options.extra = tuple(extra)
    try:
        options.run(options)
    except Error as error:
        print(f"qwen-runtime: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen-runtime", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_weights(commands)
    models = _add(commands, "models", run_models, "list the models that are known by name")
    models.add_argument("--json", action="store_true", help="packages, files and revision too")
    return parser


def _add(commands: Commands, name: str, run: Callable[[Options], None], summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def _add_serve(commands: Commands) -> None:
    serve = _add(commands, "serve", run_serve, "serve a model; arguments after -- go to the engine as they are")
    serve.add_argument("--engine", choices=["vllm"], default="vllm")
    serve.add_argument("--model", type=Path, required=True, metavar="DIR", help="directory with a manifest.json")
    serve.add_argument("--served-model-name", metavar="NAME", help="name in the API (default: the manifest's)")
    serve.add_argument("--port", type=_port, default=8080, help="OpenAI-compatible API (default: %(default)s)")
    serve.add_argument("--health-port", type=_port, default=8081, help="/health/* (default: %(default)s)")
    serve.add_argument("--max-model-len", type=_positive, required=True, metavar="TOKENS", help="prompt plus answer")
    serve.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    serve.add_argument("--verify", choices=["fast", "full"], default="fast", help="how to check the weights first")
    serve.add_argument(
        "--drain-seconds",
        type=_positive,
        default=120,
        metavar="S",
        help="time that running requests have after SIGTERM (default: %(default)s); whoever sends SIGKILL "
        "must wait 15 s longer",
    )
    serve.add_argument(
        "--settle-seconds",
        type=_positive,
        default=5,
        metavar="S",
        help="time after SIGTERM in which new requests may still arrive and are answered (default: %(default)s)",
    )


def _add_weights(commands: Commands) -> None:
    actions = commands.add_parser("weights", help="make and check model directories").add_subparsers(
        required=True, metavar="ACTION"
    )
    manifest = _add(actions, "manifest", run_manifest, "write manifest.json for the files of a directory")
    manifest.add_argument("directory", type=Path)
    manifest.add_argument("--model", required=True, metavar="NAME")
    manifest.add_argument("--revision", metavar="ID", help="what the files were made from (default: the catalogue's)")
    verify = _add(actions, "verify", run_verify, "check a directory against its manifest")
    verify.add_argument("directory", type=Path)
    verify.add_argument("--full", action="store_true", help="SHA-256 of every file as well")
    convert = _add(actions, "convert", run_convert, "make a model directory from a GGUF file")
    source = convert.add_mutually_exclusive_group(required=True)
    source.add_argument("--gguf", type=Path, action="append", metavar="FILE", help="repeated: parts, in their order")
    source.add_argument("--source", type=Path, metavar="DIR", help="where the packages of --model are installed")
    convert.add_argument("--model", metavar="NAME", help="default: the name of --out")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="must not exist yet")


def run_serve(options: Options) -> None:
    from qwen_runtime.engine import vllm
    from qwen_runtime.engine.spec import EngineSpec
    from qwen_runtime.serve import journal, preflight
    from qwen_runtime.serve.supervisor import Supervisor

    started = time.monotonic()
    manifest = preflight.check(
        options.model,
        max_model_len=options.max_model_len,
        port=options.port,
        health_port=options.health_port,
        full=options.verify == "full",
    )
    spec = EngineSpec(
        model_dir=options.model,
        served_model_name=options.served_model_name or manifest.model,
        port=options.port,
        max_model_len=options.max_model_len,
        dtype=options.dtype,
        extra=options.extra,
    )
    journal.event(
        "verified",
        f"{manifest.model} {manifest.revision} agrees with its manifest ({options.verify})",
        files=len(manifest.files),
        size_bytes=manifest.size_bytes,
        verify_s=round(time.monotonic() - started, 3),
    )
    Supervisor(
        vllm.command(spec),
        vllm.environment(os.environ),
        port=spec.port,
        health_port=options.health_port,
        served_model_name=spec.served_model_name,
        count_requests=vllm.count_requests,
        settle_s=options.settle_seconds,
        drain_s=options.drain_seconds,
    ).run()


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


def run_models(options: Options) -> None:
    if options.json:
        print(json.dumps([asdict(model) for model in catalog.MODELS], indent=1))
        return
    for model in catalog.MODELS:
        print(f"{model.name}  {model.context_tokens} tokens  also: {', '.join(model.aliases)}")


def _report(done: str, path: Path, manifest: weights.Manifest) -> None:
    print(
        f"{done} {path}: {manifest.model} {manifest.revision}, {len(manifest.files)} files, {manifest.size_bytes} bytes"
    )


def _port(text: str) -> int:
    number = _integer(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; give a number from 1 to 65535")
    return number


def _positive(text: str) -> int:
    number = _integer(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give a whole number above 0")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
