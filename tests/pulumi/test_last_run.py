"""The program reads its stack's file while the engine writes it, which the engine does when a run begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from qwen_stack.components import last_run

CUT_OFF = "invocation of pulumi:pulumi:readStackOutputs returned an error: failed to load checkpoint: EOF"


def answering(*answers: Exception | dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the engine answer so, one after the other; the list grows by each token that was asked for."""
    asked: list[str] = []
    remaining = list(answers)

    def invoke(token: str, args: dict[str, str]) -> SimpleNamespace:
        asked.append(token)
        answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(value={"outputs": answer})

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    monkeypatch.setattr(last_run, "PAUSE_S", 0)
    return asked


def test_a_file_that_is_just_being_written_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(Exception(CUT_OFF), Exception(CUT_OFF), {"cluster": "uid"}, monkeypatch=monkeypatch)
    assert last_run.outputs() == {"cluster": "uid"}
    assert len(asked) == 3


def test_a_file_that_stays_cut_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(Exception(CUT_OFF), monkeypatch=monkeypatch)
    with pytest.raises(Exception, match="EOF"):
        last_run.outputs()
    assert len(asked) == last_run.TRIES


def test_another_error_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(Exception("failed to load checkpoint: permission denied"), monkeypatch=monkeypatch)
    with pytest.raises(Exception, match="permission denied"):
        last_run.outputs()
    assert len(asked) == 1
