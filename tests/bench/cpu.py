"""vLLM on this processor: tokens per second in each form of numbers and count of threads, beside what memory allows.

    make bench BENCH=cpu                                     # the lab's default model
    make bench BENCH=cpu ARGS="--model DIR --model DIR-W8A8 --dtypes bfloat16 --streams 1 8"
    make bench BENCH=cpu ARGS="--dtypes bfloat16 -- --quantization fp8_per_channel"   # after --, vLLM's own arguments

One stream reads all weights for each token, so memory's speed divided by their bytes bounds it; the share of that bound
is taken from the median time between two tokens. Memory's speed is that of the fastest copy just before. A batch
reads the weights once for all its streams: its gain is the rate of the most streams over that of one. The last line is
JSON. What it says of a processor is data for the planner (sizing/gpus.py).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_runtime import safetensors
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec
from qwen_runtime.sizing import processor

from tests.bench.arms import machine, model
from tests.bench.arms.server import Server
from tests.support.ports import free_port

NAME = "m"
WITHOUT_COMPILERS = {"TORCH_COMPILE_DISABLE": "1"}
"""The variable of the image for CPUs, which has no compiler (docs/engines-vllm.md)."""
EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


def bytes_of_a_step(directory: Path, dtype: str) -> int:
    """Bytes that one step reads: all weights, the embedding only where it is the output projection too."""
    tensors = {
        name: tensor
        for path in directory.glob("*.safetensors")
        for name, tensor in safetensors.read_header(path).items()
    }
    if OUTPUT in tensors:
        del tensors[EMBEDDING]
    wider = {"BF16": 2, "F16": 2} if dtype == "float32" else {}
    return sum(tensor.size_bytes * wider.get(tensor.dtype, 1) for tensor in tensors.values())


def start(directory: Path, log: Path, dtype: str, threads: int, options: argparse.Namespace) -> Server:
    one = ("--distributed-executor-backend", "uni") if options.one_process else ()
    spec = EngineSpec(directory, NAME, free_port(), model.CONTEXT, dtype, extra=(*one, *options.own))
    environment = {**WITHOUT_COMPILERS, "OMP_NUM_THREADS": str(threads)}
    environment |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} if one else {}
    command = vllm.command(spec)[1:]
    return Server(f"{directory.name} in {dtype}", log, spec.port, NAME, command, environment=environment)


def measure(
    directory: Path, dtype: str, threads: int, options: argparse.Namespace, log: Path
) -> Iterator[dict[str, Any]]:
    server = start(directory, log, dtype, threads, options)
    try:
        weights_bytes = bytes_of_a_step(directory, dtype)
        for count in options.streams:
            bandwidth = machine.bandwidth_bytes_per_s()
            figures = server.measure(range(count))
            row = {"model": directory.name, "dtype": dtype, "threads": threads, "streams": count, **figures}
            row["bandwidth_gb_s"] = bandwidth / 1e9
            row["share_of_bound"] = None if options.own else weights_bytes / figures["between_p50_s"] / bandwidth
            yield row
    finally:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", help="a directory; default: the lab's default model")
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--one-process", action="store_true", help="server, scheduler and worker in one, as in the lab")
    parser.add_argument("own", nargs="*", help="arguments for vLLM; where they quantise, no share of the bound is told")
    options = parser.parse_args()
    this = processor.here()
    print(f"{machine.describe()}; plan --gpu {this.kind if this else 'unknown'}", flush=True)
    print(f"{'model':28} {'dtype':10} {'threads':>7} {'streams':>7} {'tokens/s':>9} {'first s':>8} {'of bound':>8}")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for directory in options.model or [model.copy_to(Path(scratch))]:
            for dtype in options.dtypes:
                for threads in options.threads:
                    for row in measure(directory, dtype, threads, options, Path(scratch, "log")):
                        rows.append(row)
                        share = f"{row['share_of_bound']:8.0%}" if row["streams"] == 1 and row["share_of_bound"] else ""
                        print(
                            f"{row['model']:28} {dtype:10} {threads:7} {row['streams']:7} {row['tokens_per_s']:9.1f}"
                            f" {row['first_p50_s']:8.2f} {share}",
                            flush=True,
                        )
    print(json.dumps({"processor": this.kind if this else None, "rows": rows}))


if __name__ == "__main__":
    main()
