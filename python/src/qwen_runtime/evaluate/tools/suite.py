"""The suite: the questions of each check, asked streamed and not, at temperature 0."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import aiohttp

from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Patience, new_session
from qwen_runtime.evaluate.tools import checks
from qwen_runtime.evaluate.tools.answers import Answer, ask
from qwen_runtime.evaluate.tools.cases import CASES, Case
from qwen_runtime.evaluate.tools.checks import Finding

CHECKS = ("schema", "form", "streamed", "finish_reason", "tool_choice", "usage", "replay", "cut_off")
CUT_TOKENS = 6
"""Too few for any call of the cases: its name alone is longer."""


class Suite:
    def __init__(self, endpoint: Endpoint, patience: Patience, users: int, max_tokens: int) -> None:
        self._endpoint, self._patience, self._users, self._max_tokens = endpoint, patience, users, max_tokens
        self.calls: dict[str, Counter[str]] = {form: Counter() for form in ("auto", "required", "named")}
        """Answers to the questions that ask for a call, by `tool_choice` and a word of checks.CAME."""

    async def run(self) -> list[Finding]:
        async with new_session(self._endpoint, self._patience) as http:
            self._http, self._free = http, asyncio.Semaphore(self._users)
            parts = [self._types(case) for case in CASES]
            parts += [self._count_calls(form, case) for form in ("auto", "named") for case in CASES]
            parts += [self._choices(CASES[0]), self._choices(CASES[2]), self._cut(CASES[7])]
            parts += [self._replay(CASES[0], calls) for calls in (1, 2)]
            asked = [asyncio.ensure_future(part) for part in parts]
            for number, answered in enumerate(asyncio.as_completed(asked), 1):
                await answered
                print(f"{number} of {len(asked)} groups of questions answered", file=sys.stderr)
            return [finding for group in asked for finding in group.result()]

    async def _types(self, case: Case) -> list[Finding]:
        """A call that is required, beside another tool, whole and streamed."""
        offered = _beside_another(case)
        body = self._body([_user(case.question)], offered, tool_choice="required")
        whole, streamed = await self._both(body)
        self.calls["required"].update(checks.came(answer, offered) for answer in (whole, streamed))
        counted = await self._count(body)
        found: list[Iterable[Finding]] = [
            checks.same(case.name, whole, streamed),
            checks.usage(case.name, whole, streamed, counted),
        ]
        for answer in (whole, streamed):
            found += [
                checks.schema(case, answer, offered),
                checks.form(case.name, answer),
                checks.finish(case.name, answer),
            ]
        return [finding for part in found for finding in part]

    async def _count_calls(self, form: str, case: Case) -> list[Finding]:
        """Calls that a model makes by itself, or of a named tool, counted: how many come says more of the model than of
        its endpoint, whose form alone is judged."""
        offered = _beside_another(case)
        body = self._body([_user(case.question)], offered, tool_choice=_named(case) if form == "named" else form)
        answers = await self._both(body)
        self.calls[form].update(checks.came(answer, offered) for answer in answers)
        return [finding for answer in answers for finding in checks.form(case.name, answer)]

    async def _choices(self, case: Case) -> list[Finding]:
        offered = [case, CASES[1]]
        found: list[Finding] = []
        choices: dict[str, Any] = {"auto": "auto", "none": "none", "required": "required", "named": _named(case)}
        for kind, value in choices.items():
            for answer in await self._both(self._body([_user(case.question)], offered, tool_choice=value)):
                found += checks.choice(kind, case, answer)
                if kind == "auto":
                    found += [*checks.schema(case, answer, offered), *checks.finish(f"auto {case.name}", answer)]
        return found

    async def _cut(self, case: Case) -> list[Finding]:
        body = self._body([_user(case.question)], [case], tool_choice="required", max_tokens=CUT_TOKENS)
        return [finding for answer in await self._both(body) for finding in checks.cut(case.name, answer)]

    async def _replay(self, case: Case, calls: int) -> list[Finding]:
        """The history of an agent: its calls, their results in order, and the next question."""
        made = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": case.name, "arguments": json.dumps(case.right)},
            }
            for number in range(calls)
        ]
        results = [{"role": "tool", "tool_call_id": one["id"], "content": "127.0.0.1 localhost"} for one in made]
        messages = [
            _user(case.question),
            {"role": "assistant", "content": None, "tool_calls": made},
            *results,
            _user("Which name has 127.0.0.1?"),
        ]
        body = self._body(messages, [case])
        return [f for answer in await self._both(body) for f in checks.replay(f"{calls} calls", answer)]

    def _body(self, messages: list[dict[str, Any]], offered: list[Case], **extra: Any) -> dict[str, Any]:
        return {
            "model": self._endpoint.model,
            "messages": messages,
            "tools": [case.tool for case in offered],
            "temperature": 0,
            "seed": 0,
            "max_tokens": self._max_tokens,
            **extra,
        }

    async def _both(self, body: dict[str, Any]) -> tuple[Answer, Answer]:
        async with self._free:
            whole = await ask(self._http, self._endpoint.url, body, stream=False)
            return whole, await ask(self._http, self._endpoint.url, body, stream=True)

    async def _count(self, body: dict[str, Any]) -> int | None:
        """Tokens of the prompt by vLLM's `/tokenize`; None where the endpoint has no such page."""
        asked = {"model": body["model"], "messages": body["messages"], "tools": body["tools"]}
        try:
            async with self._http.post(f"{self._endpoint.url.removesuffix('/v1')}/tokenize", json=asked) as answer:
                return int((await answer.json(content_type=None))["count"]) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
            return None


def _beside_another(case: Case) -> list[Case]:
    return [case, CASES[0] if case is not CASES[0] else CASES[1]]


def _named(case: Case) -> dict[str, Any]:
    """The `tool_choice` that demands this tool."""
    return {"type": "function", "function": {"name": case.name}}


def _user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def figures(findings: list[Finding]) -> dict[str, dict[str, int]]:
    """Counts of each check: what holds, what fails, and what the model gave no occasion for."""
    return {
        check: {
            "holds": sum(f.holds is True for f in findings if f.check == check),
            "fails": sum(f.holds is False for f in findings if f.check == check),
            "not_seen": sum(f.holds is None for f in findings if f.check == check),
        }
        for check in CHECKS
    }
