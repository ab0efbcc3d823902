"""A Qwen3-MoE of random weights in vLLM on one GPU: what the planner predicts beside what is measured.

    make bench BENCH=gpu_moe ARGS="--python /opt/venv/bin/python"   # a host with a GPU, an environment with vLLM
    make bench BENCH=gpu_moe ARGS=--tiny                            # tries the bench itself, on a CPU

Nothing is downloaded: the shape is that of Qwen3-Coder-30B-A3B (61 GB in bf16; --layers takes fewer where the GPU is
smaller), its weights are random (`--load-format dummy`) and its tokenizer has bytes. Random routers spread tokens
evenly over the experts, as the planner counts; real ones do not. Prompts are random, so that no prefix is in the cache.
The KV cache is that of vLLM's log. The same start is timed with an empty compile cache and with a kept one. Without a
GPU it is skipped, and says so. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from os import environ
from pathlib import Path
from typing import Any

from qwen_runtime import plan
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec
from qwen_runtime.sizing import catalogue, gpus
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.units import GIB

from tests.support.client import COMPLETIONS, Client
from tests.support.ports import free_port
from tests.support.server import PYTHON, Process
from tests.support.waiting import wait_for_engine

MODEL, CONTEXT = "Qwen3-Coder-30B-A3B-Instruct", 4096
ARCHITECTURE = {"architectures": ["Qwen3MoeForCausalLM"], "torch_dtype": "bfloat16"}
TINY = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
TINY |= {"intermediate_size": 512, "moe_intermediate_size": 128, "num_experts": 8, "num_experts_per_tok": 2}
TOKENIZER = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny_moe import tokenizer
tokenizer().save_pretrained(sys.argv[2])
"""
BYTES = 256
TINY_MEMORY_GIB = 5
QUANTITIES = ("output_tokens_per_s", "ttft_s", "inter_token_s")


def find_gpu() -> Gpu | None:
    """The first GPU that nvidia-smi shows, as the planner knows it."""
    try:
        shown = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return gpus.get(shown[0].strip()) if shown else None


def write_model(directory: Path, python: Path, layers: int | None, *, tiny: bool) -> None:
    config = catalogue.config(MODEL) | ARCHITECTURE | (TINY if tiny else {})
    if layers:
        config["num_hidden_layers"] = layers
    (directory / "config.json").write_text(json.dumps(config))
    engines = Path(__file__).parents[1] / "engines"
    subprocess.run([python, "-c", TOKENIZER, engines, directory], check=True, capture_output=True)


class Started:
    """A server of the plan's arguments, and the seconds until it answered."""

    def __init__(self, spec: EngineSpec, python: Path, planned: plan.Plan, log: Path, cache: Path) -> None:
        _, *command = vllm.command(spec)
        caches = {"VLLM_CACHE_ROOT": str(cache / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor")}
        of_plan = {"PATH": environ["PATH"], **plan.build(planned)["environment"], **caches}
        begun = time.perf_counter()
        self.process, self.client = Process(log, command, python, **of_plan), Client(spec.port)
        wait_for_engine(
            lambda: self.process.process.poll() is not None or self.client.answers("/health"), "the engine's answer"
        )
        assert self.process.process.poll() is None, self.process.log()
        self.start_s = time.perf_counter() - begun


def start(planned: plan.Plan, python: Path, log: Path, cache: Path, *, tiny: bool = False) -> Started:
    own = ("--load-format", "dummy", *(("--enforce-eager",) if tiny else ()))
    arguments, directory = tuple(planned.launch["vllm"]), Path(planned.request.model)
    spec = EngineSpec(directory, "m", free_port(), CONTEXT, "bfloat16", planned=arguments, extra=own)
    return Started(spec, python, planned, log, cache)


def kv_cache_gib(started: Started) -> float | None:
    """Size of the KV cache by vLLM's log; None on a CPU, where it is given."""
    found = re.search(r"Available KV cache memory: ([\d.]+) GiB", started.process.log())
    return float(found[1]) if found else None


def ask(client: Client, prompt_tokens: int, answer_tokens: int) -> tuple[float, float]:
    """Seconds to the first token, and to the last."""
    prompt = [random.randrange(BYTES) for _ in range(prompt_tokens)]
    body = {"prompt": prompt, "max_tokens": answer_tokens, "ignore_eos": True, "return_token_ids": True}
    begun = time.perf_counter()
    arrivals = [
        time.perf_counter() - begun
        for event in client.stream(COMPLETIONS, body)
        if isinstance(event, dict) and event["choices"] and event["choices"][0].get("token_ids")
    ]
    return arrivals[0], arrivals[-1]


def measure(client: Client, streams: int, prompt_tokens: int, answer_tokens: int, rounds: int) -> dict[str, float]:
    """Figures of users who ask again as soon as they are answered, as the prediction has them."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(streams) as users:
        asked = range(streams * rounds)
        answers = list(users.map(lambda _: ask(client, prompt_tokens, answer_tokens), asked))
    seconds = time.perf_counter() - begun
    return {
        "output_tokens_per_s": len(answers) * answer_tokens / seconds,
        "ttft_s": statistics.mean(first for first, _ in answers),
        "inter_token_s": statistics.mean((last - first) / (answer_tokens - 1) for first, last in answers),
    }


def compare(planned: plan.Plan, client: Client, rounds: int) -> dict[str, Any]:
    wishes, streams = planned.request.wishes, planned.request.wishes.concurrency
    measured = measure(client, streams, wishes.input_tokens, wishes.output_tokens, rounds)
    predicted = next(point for point in planned.predicted if point.concurrency == streams)
    row: dict[str, Any] = {"streams": streams}
    for name in QUANTITIES:
        expected = getattr(predicted, name)
        row[name] = entry(streams, name, expected, measured[name])
    return row


def entry(streams: int | str, name: str, expected: float, measured: float) -> dict[str, float]:
    """One line of the table, printed, and its part of the JSON."""
    print(f"{streams:4} {name:22} {expected:12.4f} {measured:12.4f} {measured / expected:8.2f}", flush=True)
    return {"predicted": expected, "measured": measured, "ratio": measured / expected}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=PYTHON, help="interpreter of an environment with vLLM")
    parser.add_argument("--layers", type=int, help="of the model, where the GPU does not hold all 48")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a tiny shape on a CPU, which says nothing of GPUs")
    options = parser.parse_args()
    gpu = gpus.get("cpu") if options.tiny else find_gpu()
    if gpu is None:
        print("skipped: nvidia-smi shows no GPU here; --tiny tries the bench on a CPU")
        return
    with tempfile.TemporaryDirectory() as scratch:
        figures = run(gpu, options, Path(scratch))
    print(json.dumps(figures))


def run(gpu: Gpu, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    directory = scratch / "model"
    directory.mkdir()
    write_model(directory, options.python, options.layers, tiny=options.tiny)
    plans = [draw(directory, gpu, streams, tiny=options.tiny) for streams in options.streams]
    starts_s: dict[str, float] = {}
    rows, memory = [], {}
    for cache in ("empty", "kept"):
        server = start(plans[0], options.python, scratch / cache, scratch / "cache", tiny=options.tiny)
        starts_s[cache] = server.start_s
        print(f"{cache} compile cache: answers after {server.start_s:.1f} s", flush=True)
        try:
            if cache == "kept":
                measure(server.client, 1, 16, 8, 1)  # what compiles at the first request has compiled
                print(f"{'':4} {'':22} {'predicted':>12} {'measured':>12} {'ratio':>8}")
                if (held := kv_cache_gib(server)) is not None:
                    memory = entry("", "kv_cache_gib", plans[0].best.memory.kv_bytes / GIB, held)
                rows = [compare(planned, server.client, options.rounds) for planned in plans]
        finally:
            server.process.end()
    return {"gpu": gpu.name, "tiny": options.tiny, "start_s": starts_s, "kv_cache_gib": memory, "rows": rows}


def draw(directory: Path, gpu: Gpu, streams: int, *, tiny: bool) -> plan.Plan:
    wish = plan.make(
        model=str(directory),
        gpu=gpu.name,
        gpus_per_node=1,
        context_tokens=CONTEXT,
        input_tokens=256 if tiny else 1000,
        output_tokens=32 if tiny else 256,
        concurrency=streams,
        memory_gib=TINY_MEMORY_GIB if tiny else None,
    )
    return plan.plan(wish)


if __name__ == "__main__":
    main()
