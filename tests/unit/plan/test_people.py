"""Hosts for people: the busy hour decides how many, and the answer says why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qwen_runtime.cli import main
from qwen_runtime.errors import UsageError
from qwen_runtime.plan import Request, make, people
from qwen_runtime.plan.roofline import Roofline
from qwen_runtime.plan.workload import PROFILES
from qwen_runtime.sizing import catalogue, gpus
from qwen_runtime.sizing.layout import Layout

FP8 = "Qwen3-Coder-480B-A35B-Instruct-FP8"
TEAM = ("plan", "--model", FP8, "--gpu", "h100-80gb", "--gpus-per-node", "8", "--developers", "200", "--json")


def team(developers: int = 200, gpu: str = "h100-80gb", **options: object) -> Request:
    wish: dict[str, object] = {"model": FP8, "gpu": gpu, "gpus_per_node": 8, "developers": developers, **options}
    return make(**wish)  # type: ignore[arg-type]


def hour_on(request: Request, nodes: int) -> people.BusyHour:
    hour = people.size(request, nodes).hour
    assert hour
    return hour


def test_requests_in_flight_are_those_that_arrive_while_one_is_answered() -> None:
    sized = people.size(team())
    assert sized.hour
    assert sized.hour.in_flight == pytest.approx(200 * 25 / 3600 * sized.hour.turn_s, rel=0.01)


def test_the_hosts_that_are_needed_are_the_fewest_that_carry_the_busy_hour() -> None:
    sized = people.size(team())
    assert sized.needed == sized.request.site.nodes > 1
    assert hour_on(team(), sized.needed).carried
    assert not hour_on(team(), sized.needed - 1).carried


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 400), st.sampled_from(list(PROFILES)), st.sampled_from(["a100-80gb", "h100-80gb", "h200-141gb"]))
def test_more_turns_never_need_fewer_hosts(developers: int, profile: str, gpu: str) -> None:
    calm, busy = (
        people.size(team(developers, gpu, profile=profile, turns_per_hour=turns)).needed for turns in (20.0, 60.0)
    )
    assert 1 <= calm <= busy


def test_spare_hosts_come_on_top_of_those_that_are_needed() -> None:
    sized = people.size(team(spare=2))
    assert sized.request.site.nodes == sized.needed + 2
    assert sized.needed == people.size(team()).needed


def test_prefixes_are_lost_where_turns_are_far_apart_and_memory_is_short() -> None:
    quick, slow = (hour_on(team(40, turns_per_hour=20.0, wait_s=wait), 4).cached_share for wait in (5.0, 600.0))
    assert slow < 0.8 * quick
    assert quick == pytest.approx(0.86, abs=0.01)


def test_a_first_token_that_one_user_alone_waits_too_long_for_is_not_mended_by_hosts() -> None:
    sized = people.size(team(latency_s=0.05))
    assert not sized.holds
    assert sized.why.endswith("not 0.05, and more hosts do not help")


def test_fewer_hosts_than_are_needed_are_planned_and_said_to_be_too_few() -> None:
    sized = people.size(team(), 2)
    assert not sized.holds
    assert sized.why.endswith(f"; {sized.needed} hosts are needed")
    assert sized.hour
    assert math.isinf(sized.hour.in_flight) or sized.hour.busiest > sized.hour.held


def test_what_is_cached_shortens_the_time_to_the_first_token() -> None:
    roofline = Roofline(catalogue.get(FP8), gpus.get("h100-80gb"), Layout(8, expert_parallel=8))
    cold, warm = (roofline.predict(4, 40_000, 500, 7, cached) for cached in (0, 36_000))
    assert warm.ttft_s < 0.3 * cold.ttft_s
    assert warm.output_tokens_per_s > cold.output_tokens_per_s


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    def call(*words: str) -> dict[str, object]:
        assert main([*TEAM, *words]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return call


def test_the_answer_has_the_busy_hour_the_reason_and_the_next_two_sizes(
    document: Callable[..., dict[str, object]],
) -> None:
    answer = document()
    workload = answer["workload"]
    assert isinstance(workload, dict)
    assert [other["gpu"] for other in workload["others"]] == ["h200-141gb", "b200-180gb"]
    for row in (workload, *workload["others"]):
        assert row["nodes"] == row["nodes_needed"] > 0
        assert row["why"]
        assert {"in_flight", "ttft_s", "output_tokens_per_s", "cached_share"} <= set(row["busy_hour"])
    assert answer["layout"]["nodes"] == workload["nodes"]  # type: ignore[index]
    assert answer["wishes"]["concurrency"] == math.ceil(workload["busy_hour"]["busiest"])  # type: ignore[index]
    assert set(workload["sources"]) > {"turns_per_hour", "input_tokens", "cached_share"}


def test_its_own_command_gives_the_same_answer(
    document: Callable[..., dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = document("--turns-per-hour", "12.5", "--output-tokens", "700")
    assert main(str(first["command"]).split()[1:]) == 0
    again = json.loads(capsys.readouterr().out)
    for one in (first, again):
        one["workload"] = {**one["workload"], "sources": None}  # type: ignore[dict-item]
    assert again == first


def test_figures_that_are_given_are_not_the_profiles(document: Callable[..., dict[str, object]]) -> None:
    workload = document("--turns-per-hour", "10", "--input-tokens", "9000")["workload"]
    assert isinstance(workload, dict)
    assert (workload["turns_per_hour"], workload["input_tokens"]) == (10, 9000)
    assert {"turns_per_hour", "input_tokens"}.isdisjoint(workload["sources"])


def test_the_table_says_hosts_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word for word in TEAM if word != "--json"]) == 0
    table = capsys.readouterr().out
    for fact in ("200 developers, profile agent", "in busy moments", "h200-141gb", "arxiv.org/abs/2606.30560"):
        assert fact in table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"developers": None, "profile": "chat"}, "--profile, --turns-per-hour or --wait-s without --developers"),
        ({"concurrency": 8}, "--developers with --concurrency"),
        ({"context_tokens": 32_768}, "--input-tokens 40000 and --output-tokens 520"),
    ],
)
def test_wishes_that_contradict_a_team_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        team(**options)  # type: ignore[arg-type]
    assert message in str(caught.value)
