"""`qwen-runtime score`: perplexity and log-likelihood of texts."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from qwen_runtime.cli.common import HELP_MODEL, Commands, Options, add, positive
from qwen_runtime.engine.registry import SCORES_BY_DEFAULT, scorers
from qwen_runtime.errors import UsageError

MICRO_BATCHES = 8
BATCH_TOKENS = 2048
LINES = '{"text": ...} or {"prompt": ..., "continuation": ...}'


def add_to(commands: Commands) -> None:
    score = add(commands, "score", run, "perplexity and log-likelihood of texts, offline, in batches")
    score.add_argument("--model", required=True, metavar="NAME|DIR", help=HELP_MODEL)
    score.add_argument("--input", type=Path, required=True, metavar="FILE", help=f"JSON lines: {LINES}")
    score.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="JSON with the figures of each line and of all"
    )
    score.add_argument(
        "--engine",
        choices=list(scorers()),
        help=f"default: {SCORES_BY_DEFAULT}, a pipeline of stages; with --quantization one that can quantize",
    )
    score.add_argument(
        "--stages",
        type=positive,
        metavar="N",
        help="processes that engine deepspeed divides the layers over (default: 4)",
    )
    score.add_argument(
        "--micro-batches",
        type=positive,
        default=MICRO_BATCHES,
        metavar="N",
        help="parts of a batch that are in the pipeline at once (default: %(default)s)",
    )
    score.add_argument(
        "--batch-tokens",
        type=positive,
        default=BATCH_TOKENS,
        metavar="TOKENS",
        help="tokens of a micro-batch; each needs vocabulary x 4 bytes for its logits (default: %(default)s)",
    )
    score.add_argument(
        "--max-length", type=positive, metavar="TOKENS", help="longest window of a text (default: the model's context)"
    )
    score.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], help="default: the checkpoint's")
    score.add_argument("--attention", metavar="NAME", help="default: flash attention where it runs, else sdpa")
    score.add_argument(
        "--quantization",
        metavar="METHOD",
        help="int8, bitsandbytes-8bit or float8: scored beside the unquantized model",
    )
    score.add_argument("--verify", choices=["fast", "full"], default="fast", help="how to check the weights first")


def run(options: Options) -> None:
    from qwen_runtime import weights
    from qwen_runtime.engine.score import job, texts
    from qwen_runtime.serve import ranks
    from qwen_runtime.weights import directories

    model_dir = directories.find(options.model)
    weights.verify(model_dir, full=options.verify == "full", report=True)
    engine, stages = job.choose_engine(
        options.engine,
        options.stages,
        options.quantization,
        json.loads((model_dir / "config.json").read_bytes()),
    )
    texts.read(options.input)  # wrong lines are refused before a model is loaded
    _check_writable(options.output)
    with tempfile.TemporaryDirectory(prefix="qwen-score-") as failures:
        task = job.Job(
            model_dir=model_dir,
            engine=engine,
            stages=stages,
            micro_batches=options.micro_batches,
            batch_tokens=options.batch_tokens,
            max_length=options.max_length,
            dtype=options.dtype,
            attention=options.attention,
            quantization=options.quantization,
            input=options.input,
            output=options.output,
            failures=Path(failures),
        )
        ranks.run(job.command(task), stages, job.environment(os.environ), task.explain)
    _report(options.output)


def _check_writable(path: Path) -> None:
    if not os.access(path.parent, os.W_OK) or path.is_dir():
        raise UsageError(f"--output {path}", "a file in a directory that may be written", "Correct the path.")


def _report(path: Path) -> None:
    result = json.loads(path.read_bytes())
    print(
        f"{path}: {len(result['results'])} lines, {result['tokens']} tokens, perplexity {result['perplexity']:.4f}, "
        f"top-1 {result['top1']:.1%}, {result['tokens_per_s']} tokens/s"
    )
    if "against_unquantized" in result:
        before, change = result["unquantized"], result["against_unquantized"]
        print(
            f"weights {before['weights_bytes']} -> {result['weights_bytes']} bytes "
            f"(-{change['weights_bytes_saved']:.1%}), "
            f"perplexity {before['perplexity']:.4f} -> {result['perplexity']:.4f}, "
            f"the same top-1 in {change['top1_agreement']:.1%} of places"
        )
