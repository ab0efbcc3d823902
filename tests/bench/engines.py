"""Speed of the engines on one model and machine, by requests in flight, each beside its plain alternative.

    make contract                                # installs the serving environment once; `make up` converts the model
    make bench BENCH=engines ARGS="--streams 1 4 --rounds 1 --engines transformers 'transformers serve'"

All servers run at the same time, one thread each, and are asked in turns, round after round, so that whatever else the
machine does meets all of them; the median round counts. Greedy answers of 64 tokens in bfloat16; llama.cpp has the
4-bit weights that the others' were made from. Expected: engine transformers is not below `transformers serve` in any
row, and the supervisor costs engine vllm nothing measurable. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.arms import llama_cpp, machine, model
from tests.bench.arms.pipeline import Pipeline
from tests.bench.arms.server import Figures, Server
from tests.support.ports import free_port

STREAMS = (1, 4, 16, 64)
COMMON = ("--max-model-len", model.CONTEXT, "--dtype", "bfloat16")
# Pairs that are compared, ours first. A share above 1 is better in every column.
COMPARED = (
    ("vllm", "vllm serve"),
    ("transformers", "transformers serve"),
    ("transformers", "pipeline"),
    ("vllm", "llama.cpp"),
)
SUPERVISED = {"vllm", "transformers"}
Arm = Server | Pipeline
Results = dict[str, dict[str, Any]]


def supervised(engine: str, directory: Path, logs: Path, *own: object) -> Server:
    port = free_port()
    command = ["-m", "qwen_runtime", "serve", "--engine", engine, "--model", directory, *COMMON, "--port", port]
    return Server(engine, logs / engine, port, model.NAME, [*command, "--health-port", free_port(), "--", *own])


def plain_vllm(directory: Path, logs: Path) -> Server:
    port = free_port()
    command = ["-m", "vllm.entrypoints.cli.main", "serve", directory, "--served-model-name", model.NAME, *COMMON]
    return Server("vllm serve", logs / "vllm serve", port, model.NAME, [*command, "--enforce-eager", "--port", port])


def plain_transformers(directory: Path, logs: Path) -> Server:
    port = free_port()
    options = ["--continuous-batching", "--cb-block-size", 32, "--cb-num-blocks", 512, "--cb-max-batch-tokens", 512]
    command = ["-m", "transformers.cli.transformers", "serve", directory, *options, "--dtype", "bfloat16"]
    return Server("transformers serve", logs / "serve", port, str(directory), [*command, "--port", port])


ARMS: dict[str, Callable[[Path, Path], Arm]] = {
    "vllm": lambda directory, logs: supervised("vllm", directory, logs, "--enforce-eager"),
    "vllm serve": plain_vllm,
    "transformers": lambda directory, logs: supervised("transformers", directory, logs, "--num-blocks", 512),
    "transformers serve": plain_transformers,
    "pipeline": lambda directory, logs: Pipeline(directory, logs / "pipeline"),
    "llama.cpp": lambda _, logs: llama_cpp.start("llama.cpp", model.NAME, max(STREAMS), logs / "llama.cpp"),
}


def measure(running: dict[str, Arm], streams: int, rounds: int, numbers: Iterator[int]) -> dict[str, Figures]:
    """The median of each figure. Each round has new prompts, the same for all engines, so that no cache knows them.

    Rounds alternate the order of the engines, so that none always follows the same one.
    """
    measured: dict[str, list[Figures]] = {name: [] for name in running}
    order = list(running.items())
    for _ in range(rounds):
        prompts = list(itertools.islice(numbers, streams))
        for name, arm in order:
            measured[name].append(arm.measure(prompts))
        order.reverse()
    return {
        name: {key: round(statistics.median(each[key] for each in found), 4) for key in found[0]}
        for name, found in measured.items()
    }


def collect(engines: list[str], streams: list[int], rounds: int, bandwidth: float) -> Results:
    """bandwidth: bytes per second."""
    results: Results = {}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory = model.copy_to(place)
        weights_bytes = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
        running: dict[str, Arm] = {}
        for name in engines:
            running[name] = ARMS[name](directory, place)
            stack.callback(running[name].close)
            results[name] = {"start_s": round(running[name].start_s, 1)}
            print(f"{name} answered after {running[name].start_s:.1f} s", flush=True)
        before_s, started = {name: machine.cpu_seconds(arm.pid) for name, arm in running.items()}, time.monotonic()
        numbers = itertools.count()
        for count in streams:
            for name, figures in measure(running, count, rounds, numbers).items():
                results[name][str(count)] = figures
                print(row(f"{count:3} streams, {name}", figures, 3), flush=True)
        for name, arm in running.items():
            size = llama_cpp.weights(model.NAME).stat().st_size if name == "llama.cpp" else weights_bytes
            results[name]["rss_bytes"] = machine.rss_bytes(arm.pid)
            results[name]["bound_tokens_per_s"] = round(bandwidth / size, 1)
            if name in SUPERVISED:
                used_s = machine.cpu_seconds(arm.pid) - before_s[name]
                results[name]["supervisor_share_of_core"] = round(used_s / (time.monotonic() - started), 4)
    return results


def gains(results: Results, streams: list[int]) -> dict[str, dict[str, Figures]]:
    """Factor by which ours is better, by pair and streams: more tokens, fewer seconds."""

    def gain(key: str, ours: float, other: float) -> float:
        return round(ours / other if key == "tokens_per_s" else other / ours, 2)

    return {
        f"{ours} over {other}": {
            str(count): {
                key: gain(key, results[ours][str(count)][key], value)
                for key, value in results[other][str(count)].items()
            }
            for count in streams
        }
        for ours, other in COMPARED
        if ours in results and other in results
    }


def row(name: str, figures: Figures, digits: int) -> str:
    return f"{name:36}" + "".join(f"  {key} {value:8.{digits}f}" for key, value in figures.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=list(STREAMS))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--engines", nargs="+", choices=list(ARMS), default=list(ARMS))
    options = parser.parse_args()
    bandwidth = machine.bandwidth_bytes_per_s()
    print(f"{machine.describe()}; one thread copies {bandwidth / 1e9:.1f} GB/s, read and written")
    results = collect(options.engines, options.streams, options.rounds, bandwidth)
    for name, told in results.items():
        bound = told["bound_tokens_per_s"]
        print(f"{name:20} start {told['start_s']:6.1f} s  RSS {told['rss_bytes'] / 2**20:6.0f} MiB", end="  ")
        if "1" in told:
            told["share_of_bound"] = round(told["1"]["tokens_per_s"] / bound, 3)
            print(
                f"one stream: {told['share_of_bound']:.0%} of {bound:.0f} tokens/s, reading all weights for each",
                end="",
            )
        print()
    table = gains(results, options.streams)
    for pair, counts in table.items():
        for count, figures in counts.items():
            print(row(f"{pair}, {count}", figures, 2))
    for name in SUPERVISED & results.keys():
        print(f"the supervisor of {name} used {results[name]['supervisor_share_of_core']:.1%} of a core")
    print(
        json.dumps(
            {
                "benchmark": "engines",
                "model": model.NAME,
                "machine": machine.describe(),
                "bandwidth_bytes_per_s": round(bandwidth),
                "rounds": options.rounds,
                "results": results,
                "gains": table,
            }
        )
    )


if __name__ == "__main__":
    main()
