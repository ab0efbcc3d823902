"""Runs against a stand-in whose pace is known."""

from __future__ import annotations

import asyncio
import time

import pytest
from qwen_runtime.bench import figures
from qwen_runtime.bench.figures import Slo
from qwen_runtime.bench.loads import LOADS, fixed, sessions
from qwen_runtime.bench.runner import Asking, Run, run_closed, run_open
from qwen_runtime.endpoint.address import Endpoint
from qwen_runtime.endpoint.exchange import Outcome, Patience
from qwen_runtime.errors import HostError

from tests.fakes.token_server import MODEL, Pace, serving

TOKENS = 6
SHORT = fixed(LOADS["chat"], 5, TOKENS)
LOST = {
    "stall": Outcome.STALLED,
    "drop": Outcome.DROPPED,
    "limit": Outcome.LIMITED,
    "refuse": Outcome.REFUSED,
    "fail": Outcome.FAILED,
    "empty": Outcome.EMPTY,
    "error event": Outcome.FAILED,
    "malformed": Outcome.MALFORMED,
}


def asking(url: str, silent_s: float = 30.0) -> Asking:
    return Asking(Endpoint(url, "", MODEL), Patience(silent_s, 60.0), {})


def closed(pace: Pace, count: int, users: int = 1, silent_s: float = 30.0) -> Run:
    with serving(pace) as url:
        return asyncio.run(run_closed(asking(url, silent_s), sessions(SHORT, count, 0), users))


@pytest.mark.parametrize(("fault", "outcome"), LOST.items())
def test_what_is_no_answer_is_a_count_of_its_own_and_has_no_latency(fault: str, outcome: Outcome) -> None:
    run = closed(Pace(faults=("none", fault)), 2, silent_s=1.0)
    summary = figures.summary(run, Slo(60), None)
    assert {name: n for name, n in summary["outcomes"].items() if n} == {"answered": 1, outcome.value: 1}
    assert summary["first_token_from_schedule_s"]["count"] == 1
    assert summary["slo_attainment"] == 0.5


@pytest.mark.parametrize("fault", ["no usage", "wrong sum", "too few", "early stop"])
def test_a_usage_that_contradicts_the_stream_is_counted_and_not_believed(fault: str) -> None:
    [exchange] = closed(Pace(faults=(fault,)), 1).exchanges
    assert exchange.outcome is Outcome.ANSWERED
    assert exchange.usage_is_wrong
    assert exchange.output_tokens == (TOKENS // 2 if fault == "early stop" else TOKENS)


def test_a_right_usage_is_believed() -> None:
    [exchange] = closed(Pace(), 1).exchanges
    assert (exchange.usage_is_wrong, exchange.output_tokens, exchange.prompt_tokens) == (False, TOKENS, 10)


def test_nothing_there_is_unreachable() -> None:
    with serving(Pace()) as url:
        pass
    run = asyncio.run(run_closed(asking(url), sessions(SHORT, 1, 0), 1))
    assert [exchange.outcome for exchange in run.exchanges] == [Outcome.UNREACHABLE]
    with pytest.raises(HostError, match="1 unreachable"):
        figures.refuse_if_empty(run)


def test_a_user_of_a_closed_loop_keeps_to_retry_after() -> None:
    first, second = closed(Pace(faults=("limit", "none")), 2).exchanges
    assert first.retry_after_s == 1
    assert second.sent_s - first.ended_s >= 1


def test_an_open_loop_sends_on_time_whatever_the_endpoint_does() -> None:
    """One slot serves one request after the other; the latency from the schedule holds the whole queue."""
    with serving(Pace(first_s=0.1, slots=1)) as url:
        run = asyncio.run(run_open(asking(url), sessions(SHORT, 8, 0), [0.0] * 8))
    assert max(e.sent_s for e in run.exchanges) < min(e.ended_s for e in run.exchanges)
    assert max(figures.first_token(e, e.scheduled_s) for e in run.exchanges) >= 0.8


def test_a_closed_loop_has_no_more_requests_open_than_users() -> None:
    run = closed(Pace(first_s=0.05), 8, users=2)
    open_at_once = [sum(o.sent_s <= e.sent_s < o.ended_s for o in run.exchanges) for e in run.exchanges]
    assert max(open_at_once) == 2


def test_a_late_client_shows_in_the_clock_of_the_schedule_alone_and_reports_nothing() -> None:
    async def blocked(url: str) -> Run:
        async def block() -> None:
            await asyncio.sleep(0.15)
            time.sleep(0.5)  # on purpose: the event loop stands still, as in a client without enough processor

        blocking = asyncio.create_task(block())
        run = await run_open(asking(url), sessions(SHORT, 20, 0), [number * 0.02 for number in range(20)])
        await blocking
        return run

    with serving(Pace()) as url:
        run = asyncio.run(blocked(url))
    late = max(run.exchanges, key=lambda each: each.sent_s - each.scheduled_s)
    assert figures.first_token(late, late.scheduled_s) - figures.first_token(late, late.sent_s) >= 0.3
    with pytest.raises(HostError, match="a client that was late itself"):
        figures.refuse_if_late(run, 0.1)


def test_an_agent_sends_its_history_with_the_answers_in_it() -> None:
    pace = Pace()
    with serving(pace) as url:
        asyncio.run(run_closed(asking(url), sessions(LOADS["agent"], 1, 0, scale=0.002), 1))
    roles = [[message["role"] for message in body["messages"]] for body in pace.bodies]
    assert roles == [["system", *["user", "assistant"] * turn, "user"] for turn in range(8)]
    assert pace.bodies[1]["messages"][:2] == pace.bodies[0]["messages"]
    assert set(pace.bodies[1]["messages"][2]["content"].split()) == {"the"}


def test_a_session_ends_with_the_first_turn_that_is_not_answered() -> None:
    with serving(Pace(faults=("none", "fail"))) as url:
        run = asyncio.run(run_closed(asking(url), sessions(LOADS["agent"], 1, 0, scale=0.002), 1))
    assert [exchange.item for exchange in run.exchanges] == ["s0.0", "s0.1"]
