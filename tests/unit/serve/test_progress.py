"""An engine has stalled when it has requests and moves no token. A busy, idle or silent one has not."""

from __future__ import annotations

import pytest
from qwen_runtime.engine.spec import Progress
from qwen_runtime.serve.progress import ProgressJudge

LIMIT_S = 10.0
EVERY_S = 4


def judged(*looks: Progress | None) -> list[str | None]:
    judge = ProgressJudge(LIMIT_S)
    return [judge.find_stall(look, now_s=number * EVERY_S) for number, look in enumerate(looks)]


@pytest.mark.parametrize(
    "looks",
    [
        [Progress(1, tokens) for tokens in range(9)],
        [Progress(0, 5.0)] * 9,
        [Progress(None, None)] * 9,
        [Progress(3, None)] * 9,
        [Progress(1, 5.0), None, None, Progress(1, 6.0), None, None, Progress(1, 7.0)],
    ],
    ids=["busy", "idle", "tells nothing", "tells no tokens", "answers late"],
)
def test_not_stalled(looks: list[Progress | None]) -> None:
    assert not any(judged(*looks))


def test_requests_without_a_token_are_a_stall_once_the_limit_has_passed() -> None:
    assert judged(*[Progress(2, 5.0)] * 4) == [None, None, None, "2 request(s) and no token for 12 s (limit 10 s)"]


def test_silence_is_a_stall_once_the_limit_has_passed() -> None:
    looks = judged(Progress(0, 5.0), None, None, None)
    assert looks == [None, None, None, "the engine has not answered for 12 s (limit 10 s)"]


def test_a_request_that_comes_after_an_idle_hour_has_the_whole_limit() -> None:
    assert not any(judged(*[Progress(0, 5.0)] * 900, Progress(1, 5.0), Progress(1, 5.0)))
