"""HumanEval, perplexity and calls of tools of models that vLLM serves on this processor, by the package's own commands.

    make bench BENCH=quality ARGS="--model DIR"                     # 1.5B on two cores: a quarter of an hour and more
    make bench BENCH=quality ARGS="--model DIR --model DIR-W8A8"    # then the second beside the first
    make bench BENCH=quality ARGS="--problems 4"                    # the lab's default model, to try it

Each model is served and judged alone, one after the other. `--results DIR` keeps the results, and goes on with a
HumanEval that was cut short. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from qwen_runtime.cli import main as qwen_runtime
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec

from tests.bench.arms import machine, model
from tests.bench.arms.server import Server
from tests.bench.cpu import WITHOUT_COMPILERS
from tests.support.ports import free_port

NAME, KV_GIB = "m", 4
CALLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
PATIENCE = ("--silent-s", "900", "--longest-s", "3600")
"""Waits for answers that stand in a queue of all problems on two cores."""
SUITES = ("humaneval", "perplexity", "tools")


def start(directory: Path, log: Path, threads: int) -> Server:
    spec = EngineSpec(directory, NAME, free_port(), model.CONTEXT, "bfloat16", extra=CALLS)
    environment = {**WITHOUT_COMPILERS, "OMP_NUM_THREADS": str(threads), "VLLM_CPU_KVCACHE_SPACE": str(KV_GIB)}
    return Server(directory.name, log, spec.port, NAME, vllm.command(spec)[1:], environment=environment)


def judge(directory: Path, results: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each suite for one model; its results lie in `results`."""
    server = start(directory, results / f"{directory.name}.log", options.threads)
    figures = {}
    try:
        for suite in options.suites:
            output = results / f"{suite}-{directory.name}.json"
            words = ["--endpoint", f"http://127.0.0.1:{server.port}/v1", "--hardware", machine.describe()]
            words += ["--users", str(options.users), *PATIENCE, "--output", str(output)]
            if options.problems and suite != "tools":
                words += ["--problems", str(options.problems)]
            if suite == "humaneval" and output.exists():
                words += ["--resume", str(output.rename(output.with_suffix(".earlier.json")))]
            assert qwen_runtime(["evaluate", suite, *words]) == 0, suite
            document = json.loads(output.read_text())
            figures[suite] = {"figures": document["figures"], "calls": document.get("calls")}
    finally:
        server.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", help="a directory; default: the lab's default model")
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=SUITES)
    parser.add_argument("--problems", type=int, help="of HumanEval and of the texts for perplexity; default: all")
    parser.add_argument("--users", type=int, default=48, help="requests at once (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, help="default: a folder that is removed")
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        results = options.results or Path(scratch)
        results.mkdir(parents=True, exist_ok=True)
        directories = options.model or [model.copy_to(Path(scratch))]
        judged = {directory.name: judge(directory, results, options) for directory in directories}
        first, *others = directories
        for other in others:
            for suite in [suite for suite in options.suites if suite != "tools"]:
                pair = [str(results / f"{suite}-{one.name}.json") for one in (first, other)]
                qwen_runtime(["compare", *pair])
    print(json.dumps(judged))


if __name__ == "__main__":
    main()
