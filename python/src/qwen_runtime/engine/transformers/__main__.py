"""The server's process: loads the model, answers until SIGTERM, or ends with the reason why it can't any more.

Where several ranks hold the model, this is one of them: rank 0 answers and tells the others what to compute.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from qwen_runtime.engine.transformers import flags
from qwen_runtime.errors import EngineError, Error

STREAMS_END_S = 2
"""Time after which open streams are cut off. The sender of SIGTERM has waited for them already."""
STOP_S = 1.0
PULSE_S = 0.5
"""How often a rank other than 0 looks whether its engine still runs."""
DEFAULTS = ("temperature", "top_p", "top_k", "repetition_penalty")
"""Fields that vLLM takes from generation_config.json for requests that do not have them."""


def main() -> NoReturn:
    code = 0
    try:
        options = flags.parse(sys.argv[1:])
        rank = int(os.environ["RANK"]) if options.ranks > 1 else 0
        if rank:
            follow(options, rank)
        else:
            serve(options)
    except Error as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    sys.stdout.flush()
    # Not sys.exit: that waits for the engine's thread, and it may wait for ever for a rank that is gone.
    os._exit(code)


def serve(options: flags.Flags) -> None:
    import uvicorn

    from qwen_runtime.engine.transformers.generation import Generation
    from qwen_runtime.engine.transformers.metrics import Metrics
    from qwen_runtime.engine.transformers.prompts import Prompts
    from qwen_runtime.engine.transformers.server import Served, Server

    _open_many_files()
    metrics = Metrics(options.served_model_name)
    started = time.monotonic()
    loaded = load(options)
    load_s = time.monotonic() - started
    metrics.load.set(load_s)
    for choice in loaded.choices:
        print(f"{choice.name}: {choice.value} ({choice.reason})")
    limits = options.limits
    print(
        f"loaded {loaded.weights_bytes:,} bytes of weights in {load_s:.1f} s; "
        f"KV cache: {limits.pages} pages of {limits.page_tokens} tokens"
    )
    generation = Generation(loaded.model, limits, options.max_batch_tokens, options.request_timeout_s, metrics)
    served = Served(options.served_model_name, end_tokens(loaded), sampling_defaults(options.model_dir))
    server = Server(served, limits, generation, Prompts(loaded.tokenizer), metrics)
    http = uvicorn.Server(
        uvicorn.Config(
            server.app(),
            host=options.host,
            port=options.port,
            access_log=False,
            timeout_graceful_shutdown=STREAMS_END_S,
        )
    )

    def end() -> None:
        http.should_exit = True

    server.on_failure = end
    # uvicorn stops at SIGTERM, and then sends it once more to the handler before its own.
    signal.signal(signal.SIGTERM, lambda *_: end())
    http.run()
    generation.stop(STOP_S)
    if server.failure is not None:
        raise EngineError(
            f"transformers' continuous batching died: {server.failure}",
            "an engine that lives",
            "Its traceback stands above; the supervisor of this process starts it again.",
        )


def follow(options: flags.Flags, rank: int) -> None:
    """Computes its part of every step of rank 0, until rank 0 ends."""
    from qwen_runtime.engine.transformers.generation import make_manager

    loaded = load(options)
    print(f"rank {rank} loaded {loaded.weights_bytes:,} bytes of weights")
    manager = make_manager(loaded.model, options.limits, options.max_batch_tokens, lambda *_: None)
    manager.start()
    status = manager.background_thread_status
    while manager.is_running() and status.fatal_error is None:
        manager.get_result(timeout=PULSE_S)  # every rank gets all tokens; only rank 0 has clients
    if status.fatal_error is not None:
        raise EngineError(
            f"transformers' continuous batching died on rank {rank}: {status.fatal_error!r}",
            "ranks that all live",
            "Its traceback stands above; the supervisor of this process starts all of them again.",
        )


def load(options: flags.Flags) -> Any:
    from qwen_runtime.engine import loading
    from qwen_runtime.engine.transformers import stages

    loaded = loading.load(
        options.model_dir,
        dtype=options.dtype,
        attention=options.attention,
        quantization=options.quantization,
        tensor_parallel=options.tensor_parallel,
        expert_parallel=options.expert_parallel,
        pipeline_parallel=options.pipeline_parallel,
    )
    if options.pipeline_parallel > 1:
        stages.join(loaded.model)
    return loaded


def end_tokens(loaded: Any) -> frozenset[int]:
    """End tokens of the generation configuration and of the tokenizer, as vLLM has them."""
    configured = loaded.model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*several, loaded.tokenizer.eos_token_id) if token is not None)


def sampling_defaults(model_dir: Path) -> dict[str, Any]:
    path = model_dir / "generation_config.json"
    configured = json.loads(path.read_text()) if path.exists() else {}
    return {name: configured[name] for name in DEFAULTS if configured.get(name) is not None}


def _open_many_files() -> None:
    """A connection is a file; the usual soft limit of 1024 is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
