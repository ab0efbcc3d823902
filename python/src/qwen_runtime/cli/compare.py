"""`qwen-runtime compare`: two results, paired on the same items."""

from __future__ import annotations

from pathlib import Path

from qwen_runtime.cli.common import Commands, Options, above_zero, add
from qwen_runtime.cli.documents import refuse_output, write
from qwen_runtime.errors import UsageError
from qwen_runtime.extras import EVALUATION, require

ACROSS = ("model", "hardware", "load", "harness")


def add_to(commands: Commands) -> None:
    compare = add(commands, "compare", run, "say whether a candidate keeps what a baseline does, with intervals")
    compare.add_argument("baseline", type=Path, metavar="BASELINE", help="result of `bench` or `evaluate`")
    compare.add_argument("candidate", type=Path, metavar="CANDIDATE", help="another result of the same items")
    compare.add_argument(
        "--keep", type=above_zero, default=0.95, metavar="F", help="share that must be kept (default: %(default)s)"
    )
    compare.add_argument(
        "--across",
        nargs="+",
        choices=ACROSS,
        default=[],
        metavar="WHAT",
        help=f"differences that are meant: {', '.join(ACROSS)}; others are refused",
    )
    compare.add_argument("--output", type=Path, metavar="FILE", help="JSON with each score, interval and verdict")


def run(options: Options) -> None:
    require(EVALUATION, "numpy", "scipy")
    from qwen_runtime.compare import document, results

    if options.keep > 1:
        raise UsageError(f"--keep {options.keep}", "a share up to 1", "Correct it.")
    if options.output:
        refuse_output(options.output)
    baseline, candidate = (results.read(path, *results.PAIRED) for path in (options.baseline, options.candidate))
    compared = document.compare(baseline, candidate, keep=options.keep, across=options.across)
    if options.output:
        write(options.output, compared)
    print("\n".join(document.table(compared)))
