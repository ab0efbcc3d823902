"""`qwen-runtime serve`: runs an engine under the supervisor."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_runtime.cli.common import HELP_MODEL, Commands, Options, add, natural, port, positive
from qwen_runtime.engine.registry import SERVES_BY_DEFAULT, servers

if TYPE_CHECKING:
    from qwen_runtime.engine.spec import Rank
    from qwen_runtime.serve.compile_cache import CompileCache
    from qwen_runtime.serve.group import Follower, Leader


def add_to(commands: Commands) -> None:
    serve = add(commands, "serve", run, "serve a model; arguments after -- go to the engine unchanged")
    serve.add_argument("--engine", choices=list(servers()), default=SERVES_BY_DEFAULT)
    serve.add_argument("--model", required=True, metavar="NAME|DIR", help=HELP_MODEL)
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
        help="prompt plus answer (default: the plan's, or the model's context)",
    )
    serve.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], help="default: the plan's, or bfloat16")
    serve.add_argument("--verify", choices=["fast", "full"], default="fast", help="how to check the weights first")
    serve.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="SHA-256 of each key that requests may have, one a line; read again each second (default: none is needed)",
    )
    serve.add_argument(
        "--drain-seconds",
        type=positive,
        default=120,
        metavar="S",
        help="time that running requests have after SIGTERM (default: %(default)s); SIGKILL must come "
        "at least 15 s later",
    )
    serve.add_argument(
        "--settle-seconds",
        type=positive,
        default=5,
        metavar="S",
        help="time after SIGTERM during which new requests are still answered (default: %(default)s)",
    )
    serve.add_argument(
        "--stall-seconds",
        type=positive,
        default=120,
        metavar="S",
        help="longest time without a token while requests run; then the engine is ended (default: %(default)s)",
    )
    serve.add_argument(
        "--compile-cache",
        type=Path,
        metavar="DIR",
        help="keeps what this engine compiles for its next start, one DIR for each image and plan (default: none)",
    )
    serve.add_argument(
        "--warm",
        action="store_true",
        help="be ready only after one request of each kind, so that no user waits for a compiler: see `warm`",
    )
    group = serve.add_argument_group("group", "a model over several nodes: the same command on each, with its own rank")
    group.add_argument("--nodes", type=positive, metavar="N", help="default: the plan's, or 1")
    group.add_argument("--node-rank", type=natural, metavar="R", help="0, the leader, answers the API")
    group.add_argument("--leader-address", metavar="HOST", help="name or address of the node of rank 0")
    group.add_argument(
        "--rendezvous-port",
        type=port,
        default=29500,
        help="port of the engine's rendezvous, on the leader (default: %(default)s)",
    )
    group.add_argument(
        "--group-port",
        type=port,
        default=8082,
        help="port of the supervisors' heartbeats, on the leader (default: %(default)s)",
    )
    group.add_argument(
        "--join-seconds",
        type=positive,
        default=600,
        metavar="S",
        help="longest wait for all nodes; then this one ends (default: %(default)s)",
    )


def run(options: Options) -> None:
    from qwen_runtime.engine import door
    from qwen_runtime.engine.spec import EngineSpec
    from qwen_runtime.serve import journal, planned, preflight, ranks
    from qwen_runtime.serve.supervisor import Supervisor
    from qwen_runtime.serve.warmer import Warmer
    from qwen_runtime.serve.witness import Witness
    from qwen_runtime.weights import directories

    started = time.monotonic()
    model_dir = directories.find(options.model)
    engine = servers()[options.engine]
    settings = planned.settings(options.plan, options.engine, options.max_model_len, options.dtype, options.nodes)
    rank = planned.rank_of_node(
        options.engine,
        settings.nodes,
        options.node_rank,
        options.leader_address,
        options.rendezvous_port,
        options.group_port,
    )
    if options.keys:
        door.read(options.keys)
    witness = Witness(model_dir)
    manifest = preflight.check(
        engine,
        model_dir,
        max_model_len=settings.max_model_len,
        ports=listened(options, rank),
        full=options.verify == "full",
    )
    settings.check_model(model_dir)
    spec = EngineSpec(
        model_dir=model_dir,
        served_model_name=options.served_model_name or manifest.model,
        port=options.port,
        max_model_len=settings.max_model_len or preflight.longest_context(model_dir),
        dtype=settings.dtype,
        planned=settings.arguments,
        extra=options.extra,
        rank=rank,
        asks_for_key=options.keys is not None,
    )
    command, count = engine.command(spec), engine.ranks(spec)
    keys = {door.VARIABLE: str(options.keys.absolute())} if options.keys else {}
    cache, warmer = compile_cache(options), Warmer(spec.port) if options.warm else None
    kept = cache.environment() if cache else {}
    own = warmer.environment() if warmer else {}
    environment = engine.environment({**kept, **settings.environment, **os.environ, **keys, **own})
    journal.event(
        "verified",
        f"{manifest.model} {manifest.revision} agrees with its manifest ({options.verify})",
        files=len(manifest.files),
        size_bytes=manifest.size_bytes,
        verify_s=round(time.monotonic() - started, 3),
    )
    Supervisor(
        command,
        ranks.environments(environment, count) if count > 1 else [environment],
        port=spec.port if rank is None or rank.leads else None,
        health_port=options.health_port,
        served_model_name=spec.served_model_name,
        read_progress=engine.read_progress,
        stall_s=options.stall_seconds,
        settle_s=options.settle_seconds,
        drain_s=options.drain_seconds,
        find_change=witness.find_change,
        cache=cache,
        warm=warmer.warm if warmer else lambda: None,
        group=group_of(options, rank, f"{manifest.model} {manifest.revision}"),
    ).run()


def listened(options: Options, rank: Rank | None) -> dict[str, int]:
    """Flags and ports that this node listens on, except the rendezvous, which the engine opens."""
    ports = {"--health-port": options.health_port}
    if rank is None or rank.leads:
        ports["--port"] = options.port
    if rank is not None and rank.leads:
        ports["--group-port"] = options.group_port
    return ports


def compile_cache(options: Options) -> CompileCache | None:
    """The cache, with what was kept in the engine's own folder; None where none is asked for."""
    from qwen_runtime.serve.compile_cache import CompileCache

    if options.compile_cache is None:
        return None
    # The port keeps servers on one host apart.
    cache = CompileCache(options.compile_cache, Path(tempfile.gettempdir(), f"compiled-{options.port}"))
    cache.take()
    return cache


def group_of(options: Options, rank: Rank | None, model: str) -> Leader | Follower | None:
    from qwen_runtime.serve.group import Follower, Leader

    if rank is None:
        return None
    if rank.leads:
        return Leader(model, rank.nodes, options.join_seconds, options.group_port)
    return Follower(model, rank.nodes, options.join_seconds, rank.rank, rank.leader_address, options.group_port)
