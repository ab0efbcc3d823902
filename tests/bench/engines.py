"""Speed of the engines on one model and machine, by requests in flight, each beside the plain alternative.

    make contract                                # installs the serving environment once; `make up` converts the model
    python -m tests.bench.engines [--streams 1 4 16] [--rounds 3] [--engines transformers ...]

All servers run at the same time and are asked in turns, round after round, so that whatever else the machine does
meets all of them; the median round counts. Greedy answers of 64 tokens in bfloat16. Expected: engine transformers is
not below `transformers serve` in tokens per second. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab import store
from lab.paths import CACHE
from tests.engines.transformers.served import PYTHON, Client, Process, free_port, wait_until

MODEL, CONTEXT, TOKENS = "smollm2-135m-instruct", 2048, 64
BATCH = 16
PROMPT = "Write a long story about a lighthouse keeper and the sea. Begin with the weather. Story number {}."
PIPELINE = """
import json, sys, time, torch, transformers
directory, batch, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
generate = transformers.pipeline("text-generation", directory, dtype=torch.bfloat16, batch_size=batch)
generate.tokenizer.padding_side = "left"
print("ready", flush=True)
for line in sys.stdin:
    chats = [[{"role": "user", "content": prompt}] for prompt in json.loads(line)]
    started = time.perf_counter()
    generate(chats, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
    print(json.dumps(time.perf_counter() - started), flush=True)
"""


class Server:
    """An engine behind OpenAI's API."""

    def __init__(self, name: str, log: Path, command: Callable[[int], list[object]], model: str = MODEL) -> None:
        port, started = free_port(), time.perf_counter()
        self._process = Process(log, command(port), VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind")
        self._client, self.name, self._model = Client(port), name, model
        wait_until(lambda: self._process.process.poll() is not None or self._client.answers("/health"), f"{name} ready")
        assert self._process.process.poll() is None, self._process.log()
        self._ask(0)  # some load the model with the first request
        self.start_s = time.perf_counter() - started

    def measure(self, streams: int) -> dict[str, float]:
        started = time.perf_counter()
        with ThreadPoolExecutor(streams) as threads:
            arrivals = list(threads.map(self._ask, range(streams)))
        seconds = time.perf_counter() - started
        gaps = sorted(later - earlier for times in arrivals for earlier, later in itertools.pairwise(times[1:]))
        first = sorted(times[1] - times[0] for times in arrivals)
        return {
            "tokens_per_s": streams * TOKENS / seconds,
            "first_p50_s": statistics.median(first),
            "first_p99_s": first[int(0.99 * (len(first) - 1))],
            "between_p99_s": gaps[int(0.99 * (len(gaps) - 1))],
        }

    def _ask(self, number: int) -> list[float]:
        """When the request was sent and when each piece of text came."""
        messages = [{"role": "user", "content": PROMPT.format(number)}]
        body = {
            "messages": messages,
            "max_tokens": TOKENS,
            "temperature": 0,
            "model": self._model,
        }
        times, reason = [time.perf_counter()], None
        for event in self._client.stream("/v1/chat/completions", body):
            choices = event["choices"] if isinstance(event, dict) else []
            if choices and (choices[0].get("delta") or {}).get("content"):
                times.append(time.perf_counter())
            reason = (choices[0].get("finish_reason") if choices else None) or reason
        assert reason == "length", f"{self.name} ended {number} by {reason}: fewer than {TOKENS} tokens"
        return times

    @property
    def pid(self) -> int:
        return self._process.process.pid

    def close(self) -> None:
        self._process.end()


class Pipeline:
    """TextGenerationPipeline: whole batches, no streams, so that the first token comes with the last."""

    name = "pipeline"

    def __init__(self, directory: Path) -> None:
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [PYTHON, "-c", PIPELINE, directory, str(BATCH), str(TOKENS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        assert self._answer() == "ready"
        self.start_s = time.perf_counter() - started

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def measure(self, streams: int) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([PROMPT.format(number) for number in range(streams)]) + "\n")
        self._process.stdin.flush()
        seconds = float(self._answer())
        return {"tokens_per_s": streams * TOKENS / seconds, "first_p50_s": seconds, "first_p99_s": seconds}

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def start(engine: str, directory: Path, logs: Path) -> Server | Pipeline:
    if engine == "pipeline":
        return Pipeline(directory)
    if engine == "transformers serve":
        options = ["--continuous-batching", "--cb-block-size", 32, "--cb-num-blocks", 512, "--cb-max-batch-tokens", 512]
        serve = ["-m", "transformers.cli.transformers", "serve", directory, *options, "--dtype", "bfloat16"]
        return Server(engine, logs / "serve", lambda port: [*serve, "--port", port], str(directory))
    own = {"vllm": ["--max-num-seqs", BATCH], "transformers": ["--num-blocks", 512]}[engine]
    command = ["-m", "qwen_runtime", "serve", "--engine", engine, "--model", directory, "--max-model-len", CONTEXT]
    command += ["--dtype", "bfloat16", "--health-port", free_port()]
    return Server(engine, logs / engine, lambda port: [*command, "--port", port, "--", *own])


def rss_bytes(root: int) -> int:
    """Of a process and all below it."""
    parents, sizes = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue  # ended while we looked
        parents[int(entry.name)] = int(fields["PPid"])
        sizes[int(entry.name)] = int(fields.get("VmRSS", "0 kB").split()[0]) * 1024

    def below(pid: int) -> bool:
        return pid == root or (pid in parents and below(parents[pid]))

    return sum(size for pid, size in sizes.items() if below(pid))


def main() -> None:
    engines = ("transformers", "transformers serve", "pipeline", "vllm")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=engines, default=list(engines))
    options = parser.parse_args()
    found = sorted((CACHE / "models" / MODEL).glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory = place / MODEL
        shutil.copytree(found[-1].parent, directory, ignore=shutil.ignore_patterns(store.SUMS))
        running = {}
        for engine in options.engines:
            running[engine] = start(engine, directory, place)
            stack.callback(running[engine].close)
            results[engine] = {"start_s": round(running[engine].start_s, 1)}
        for streams in options.streams:
            measured: dict[str, list[dict[str, float]]] = {engine: [] for engine in running}
            for _ in range(options.rounds):
                for engine, server in running.items():
                    measured[engine].append(server.measure(streams))
            for engine, rounds in measured.items():
                middle = {key: round(statistics.median(each[key] for each in rounds), 4) for key in rounds[0]}
                results[engine][f"streams_{streams}"] = middle
                print(f"{engine:20} {streams:3} streams  " + "  ".join(f"{key} {middle[key]:.3f}" for key in middle))
        for engine, server in running.items():
            results[engine]["rss_bytes"] = rss_bytes(server.pid)
    ratios = ratios_to(results, "transformers serve") if "transformers serve" in results else {}
    for streams, ratio in ratios.items():
        print(f"engine transformers over `transformers serve`, {streams}: {ratio} (expected: at least 1)")
    print(json.dumps({"benchmark": "engines", "model": MODEL, "results": results, "ratio_tokens_per_s": ratios}))


def ratios_to(results: dict[str, dict[str, Any]], other: str) -> dict[str, float]:
    ours = results.get("transformers", {})
    return {
        key: round(ours[key]["tokens_per_s"] / results[other][key]["tokens_per_s"], 2)
        for key in ours
        if key.startswith("streams_")
    }


if __name__ == "__main__":
    main()
