"""Waits that end as soon as what they wait for is there, and questions that are not asked."""

from __future__ import annotations

import pytest

from lab.hosts import rack
from lab.mirror import client


def test_a_wait_for_several_answers_pauses_only_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([None, "refused", None, None, None])
    pauses: list[float] = []
    monkeypatch.setattr(client, "_problem", lambda _: next(answers))
    monkeypatch.setattr("time.sleep", pauses.append)
    client.wait_for("http://gateway/health", "the gateway", "", answers=3)
    assert len(pauses) == 1
    assert next(answers, "all were asked for") == "all were asked for"


def test_hosts_are_not_asked_for_their_images_where_none_was_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def addresses() -> dict[str, str]:
        asked.append("all hosts")
        return {}

    monkeypatch.setattr(rack, "_addresses", addresses)
    rack.forget_images([])
    assert asked == []
    rack.forget_images(["qwen-onprem/runtime"])
    assert asked == ["all hosts"]
