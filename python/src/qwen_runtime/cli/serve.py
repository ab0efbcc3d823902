"""`qwen-runtime serve`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from qwen_runtime.cli.common import Commands, Options, add, port, positive
from qwen_runtime.engine.registry import ENGINES


def add_to(commands: Commands) -> None:
    serve = add(commands, "serve", run, "serve a model; arguments after -- go to the engine as they are")
    serve.add_argument("--engine", choices=list(ENGINES), default="vllm")
    serve.add_argument("--model", type=Path, required=True, metavar="DIR", help="directory with a manifest.json")
    serve.add_argument(
        "--plan", type=Path, metavar="FILE", help="written by `plan --json`: layout, context and dtype come from it"
    )
    serve.add_argument("--served-model-name", metavar="NAME", help="name in the API (default: the manifest's)")
    serve.add_argument("--port", type=port, default=8080, help="OpenAI-compatible API (default: %(default)s)")
    serve.add_argument("--health-port", type=port, default=8081, help="/health/* (default: %(default)s)")
    serve.add_argument(
        "--max-model-len",
        type=positive,
        metavar="TOKENS",
        help="prompt plus answer (default: the plan's; else required)",
    )
    serve.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], help="default: the plan's, or bfloat16")
    serve.add_argument("--verify", choices=["fast", "full"], default="fast", help="how to check the weights first")
    serve.add_argument(
        "--drain-seconds",
        type=positive,
        default=120,
        metavar="S",
        help="time that running requests have after SIGTERM (default: %(default)s); whoever sends SIGKILL "
        "must wait 15 s longer",
    )
    serve.add_argument(
        "--settle-seconds",
        type=positive,
        default=5,
        metavar="S",
        help="time after SIGTERM in which new requests may still arrive and are answered (default: %(default)s)",
    )
    serve.add_argument(
        "--stall-seconds",
        type=positive,
        default=120,
        metavar="S",
        help="time without a token, while requests are there, after which the engine is ended (default: %(default)s)",
    )


def run(options: Options) -> None:
    from qwen_runtime.engine.spec import EngineSpec
    from qwen_runtime.serve import journal, planned, preflight
    from qwen_runtime.serve.supervisor import Supervisor

    started = time.monotonic()
    engine = ENGINES[options.engine]
    settings = planned.settings(options.plan, options.engine, options.max_model_len, options.dtype)
    manifest = preflight.check(
        engine,
        options.model,
        max_model_len=settings.max_model_len,
        port=options.port,
        health_port=options.health_port,
        full=options.verify == "full",
    )
    settings.check_model(options.model)
    spec = EngineSpec(
        model_dir=options.model,
        served_model_name=options.served_model_name or manifest.model,
        port=options.port,
        max_model_len=settings.max_model_len,
        dtype=settings.dtype,
        planned=settings.arguments,
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
        engine.command(spec),
        engine.environment({**settings.environment, **os.environ}),
        port=spec.port,
        health_port=options.health_port,
        served_model_name=spec.served_model_name,
        read_progress=engine.read_progress,
        stall_s=options.stall_seconds,
        settle_s=options.settle_seconds,
        drain_s=options.drain_seconds,
    ).run()
