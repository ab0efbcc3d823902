"""`qwen-runtime compare`: two results, or two endpoints, paired on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime.cli.bench import add_limits, add_load, fields, source
from qwen_runtime.cli.common import Commands, Options, above_zero, add, positive
from qwen_runtime.cli.documents import refuse_output, write, write_text
from qwen_runtime.cli.endpoint import api_key
from qwen_runtime.errors import UsageError
from qwen_runtime.extras import EVALUATION, require

if TYPE_CHECKING:
    from qwen_runtime.compare.live import Job

ACROSS = ("model", "hardware", "load", "harness")
WEB = ("http://", "https://")


def add_to(commands: Commands) -> None:
    compare = add(commands, "compare", run, "say whether a candidate keeps what a baseline does, with intervals")
    compare.add_argument("baseline", metavar="BASELINE", help="result of `bench` or `evaluate`, or an endpoint's URL")
    compare.add_argument("candidate", metavar="CANDIDATE", help="another result of the same items, or another URL")
    compare.add_argument(
        "--keep", type=above_zero, default=0.95, metavar="F", help="share that must be kept (default: %(default)s)"
    )
    compare.add_argument(
        "--across",
        nargs="+",
        choices=ACROSS,
        default=[],
        metavar="WHAT",
        help=f"differences of results that are meant: {', '.join(ACROSS)}; others are refused",
    )
    compare.add_argument("--output", type=Path, metavar="FILE", help="JSON with each score, interval and verdict")
    compare.add_argument("--report", type=Path, metavar="FILE", help="HTML with the plots in it, for people")
    live = compare.add_argument_group("two endpoints", "each session is asked of both, one after the other")
    live.add_argument("--api-key-file", type=Path, metavar="FILE", help="default: the key in OPENAI_API_KEY")
    live.add_argument("--baseline-model", metavar="NAME", help="default: the first that the endpoint lists")
    live.add_argument("--candidate-model", metavar="NAME", help="default: the first that the endpoint lists")
    for arm in ("baseline", "candidate"):
        live.add_argument(f"--{arm}-variant", metavar="NAME", help="where entries of the gateway share the name")
    live.add_argument("--users", type=positive, default=4, metavar="N", help="sessions at once (default: %(default)s)")
    live.add_argument("--hardware", default="", metavar="TEXT", help="what serves both")
    add_load(live)
    add_limits(live)


def run(options: Options) -> None:
    require(EVALUATION, "aiohttp", "matplotlib", "numpy", "scipy")
    from qwen_runtime.compare import document, results

    if options.keep > 1:
        raise UsageError(f"--keep {options.keep}", "a share up to 1", "Correct it.")
    for name, path in (("--output", options.output), ("--report", options.report)):
        if path:
            refuse_output(path, name)
    arms = (options.baseline, options.candidate)
    urls = [arm.startswith(WEB) for arm in arms]
    if all(urls):
        compared, baseline, candidate = _live(options)
    elif any(urls):
        raise UsageError("an endpoint and a file", "two endpoints or two results", "Measure the endpoint with `bench`.")
    else:
        baseline, candidate = (results.read(Path(arm), *results.PAIRED) for arm in arms)
        compared = document.compare(baseline, candidate, keep=options.keep, across=options.across)
    if options.output:
        write(options.output, compared)
    if options.report:
        from qwen_runtime.compare import report

        write_text(options.report, report.html(compared, baseline, candidate))
    print("\n".join(document.table(compared)))


def _live(options: Options) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    require(EVALUATION, "uvloop")
    from qwen_runtime.bench import loop
    from qwen_runtime.compare import live

    job = _job(options)
    if job.baseline == job.candidate:
        raise UsageError(
            "the same endpoint, model and variant twice",
            "two that differ",
            "Give --baseline-model and --candidate-model, or --baseline-variant and --candidate-variant.",
        )
    return loop.run(live.compare(job))


def _job(options: Options) -> Job:
    from qwen_runtime.bench.figures import Slo
    from qwen_runtime.compare.live import Arm, Job
    from qwen_runtime.endpoint.exchange import Patience

    return Job(
        baseline=Arm(options.baseline, options.baseline_model, options.baseline_variant),
        candidate=Arm(options.candidate, options.candidate_model, options.candidate_variant),
        api_key=api_key(options.api_key_file),
        source=source(options),
        scale=options.scale,
        count=options.sessions,
        warmup=options.warmup,
        users=options.users,
        seed=options.seed,
        slo=Slo(options.slo_first_token_s, options.slo_inter_token_s, options.slo_end_to_end_s),
        hardware=options.hardware,
        patience=Patience(options.silent_s, options.longest_s),
        own_delay_s=options.own_delay_s,
        extra=fields(options),
        keep=options.keep,
    )
