"""The checks: each looks at answers and says what conforms, what does not, and what could not be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jsonschema

from qwen_runtime.evaluate.tools.answers import Answer, Call
from qwen_runtime.evaluate.tools.cases import Case


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    case: str
    holds: bool | None
    """None where the model did nothing that could be checked, which is no fault of the endpoint."""
    detail: str = ""


def schema(case: Case, answer: Answer, offered: Sequence[Case]) -> Iterator[Finding]:
    """Every call names a tool that was offered, and its arguments are JSON that the tool's schema allows."""
    if answer.finish_reason == "length":
        yield Finding("schema", case.name, None, "cut at its length")
        return
    parameters = {one.name: one.parameters for one in offered}
    for call in answer.calls:
        yield Finding("schema", case.name, *_valid(call, parameters))
    if not answer.calls:
        yield Finding("schema", case.name, None, "no call")


CAME = ("valid", "wrong", "no_call", "cut", "refused")


def came(answer: Answer, offered: Sequence[Case]) -> str:
    """One word of CAME for the answer to a question that asks for a call. `valid`: all its calls are of offered tools
    and fit their schemas; `no_call`: the model wrote none, or in a form that the endpoint did not take for one."""
    if answer.status != 200:
        return "refused"
    if answer.finish_reason == "length":
        return "cut"
    if not answer.calls:
        return "no_call"
    parameters = {one.name: one.parameters for one in offered}
    return "valid" if all(_valid(call, parameters)[0] for call in answer.calls) else "wrong"


def _valid(call: Call, parameters: dict[str, dict[str, object]]) -> tuple[bool, str]:
    if call.name not in parameters:
        return False, f"a call of {call.name!r}, which was not offered"
    try:
        jsonschema.validate(json.loads(call.arguments), parameters[call.name])
    except ValueError as error:
        return False, f"arguments that are no JSON ({error}): {call.arguments[:200]}"
    except jsonschema.ValidationError as error:
        return False, f"{error.message[:200]} in {call.arguments[:200]}"
    return True, ""


def form(case: str, answer: Answer) -> Iterator[Finding]:
    """The form of an answer: status, identities of calls, order of a stream."""
    faults = [*answer.faults]
    identities = [call.identity for call in answer.calls]
    if len(set(identities)) < len(identities) or "" in identities:
        faults.append(f"identities of calls that are absent or the same: {identities}")
    yield Finding("form", case, not faults, "; ".join(faults))


def same(case: str, whole: Answer, streamed: Answer) -> Iterator[Finding]:
    """The streamed calls are those of the unstreamed answer to the same greedy request."""
    if "length" in (whole.finish_reason, streamed.finish_reason):
        yield Finding("streamed", case, None, "cut at its length")
        return
    if not (whole.calls or streamed.calls):
        yield Finding("streamed", case, None, "no call")
        return
    yield Finding("streamed", case, whole.told == streamed.told, f"unstreamed {whole.told}, streamed {streamed.told}")


def finish(case: str, answer: Answer) -> Iterator[Finding]:
    """The reason of the end is `tool_calls` with calls, `stop` without, and `length` where the length ended it."""
    allowed = {"tool_calls" if answer.calls else "stop", "length"}
    holds = answer.finish_reason in allowed
    yield Finding("finish_reason", case, holds, f"{answer.finish_reason!r} with {len(answer.calls)} calls")


def usage(case: str, whole: Answer, streamed: Answer, counted: int | None) -> Iterator[Finding]:
    """The count of the prompt is the same streamed and not, the sum is right, and both are the tokenizer's count."""
    prompts = {answer.usage.get("prompt_tokens") for answer in (whole, streamed)}
    sums = all(
        answer.usage.get("total_tokens")
        == (answer.usage.get("prompt_tokens") or 0) + (answer.usage.get("completion_tokens") or 0)
        for answer in (whole, streamed)
    )
    expected = prompts if counted is None else {counted}
    holds = sums and len(prompts) == 1 and None not in prompts and prompts == expected
    yield Finding("usage", case, holds, f"prompt_tokens {prompts}, by the tokenizer {counted}, sums right: {sums}")


def choice(kind: str, case: Case, answer: Answer) -> Iterator[Finding]:
    """`none` makes no call, `required` at least one, a named tool that one alone; `auto` is taken."""
    names = [call.name for call in answer.calls]
    holds = {
        "none": not names,
        "required": bool(names),
        "named": bool(names) and set(names) == {case.name},
        "auto": answer.status == 200,
    }[kind]
    yield Finding("tool_choice", f"{kind} {case.name}", holds and not answer.faults, f"calls {names} {answer.faults}")


def cut(case: str, answer: Answer) -> Iterator[Finding]:
    """An answer that its length cuts off says so, and is not told as a finished call."""
    whole = [call for call in answer.calls if _is_json(call.arguments)]
    if answer.finish_reason == "length":
        yield Finding("cut_off", case, True)
    elif len(whole) == len(answer.calls) and answer.calls:
        yield Finding("cut_off", case, None, "the call fitted")
    else:
        yield Finding("cut_off", case, False, f"{answer.finish_reason!r} with {answer.told}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def replay(case: str, answer: Answer) -> Iterator[Finding]:
    """A history with calls and their results is taken, and answered with something."""
    said = bool(answer.content or answer.calls)
    yield Finding("replay", case, answer.status == 200 and said and not answer.faults, f"{answer.faults or 'empty'}")
