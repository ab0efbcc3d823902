"""Questions to the stack that a run answers without starting Pulumi or waiting."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import stack

WHOLE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("difference", "complete"),
    [
        ({}, True),
        ({"observedGeneration": 2}, False),
        ({"replicas": 3}, False),
        ({"updatedReplicas": 1}, False),
        ({"availableReplicas": None}, False),
    ],
    ids=["whole", "a change that nobody has seen", "a replica too many", "an old replica", "none available"],
)
def test_a_run_waits_for_deployments_whose_replicas_are_not_all_there(
    difference: dict[str, Any], complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = {count: value for count, value in (WHOLE | difference).items() if value is not None}
    deployment = {"metadata": {"name": "gateway", "generation": 3}, "spec": {"replicas": 2}, "status": status}
    awaited: list[str] = []
    monkeypatch.setattr(stack, "output", lambda *_: json.dumps({"items": [deployment]}))
    monkeypatch.setattr(stack, "logged", lambda _, *argv, **__: awaited.append(str(argv[-3])))
    stack.wait()
    assert awaited == ([] if complete else ["deployment/gateway"])


@pytest.mark.parametrize(
    ("latest", "asked"),
    [(None, []), ({"resources": []}, []), ({"pending_operations": [{"type": "creating"}]}, ["stack export"])],
    ids=["a new stack", "a run that ended", "a run that was interrupted"],
)
def test_only_an_interrupted_run_is_taken_over(
    latest: dict[str, Any] | None, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):
        """Ends the taking over at its first question to Pulumi."""

    questions: list[str] = []

    def ask(*arguments: str) -> str:
        questions.append(" ".join(arguments))
        raise Asked

    checkpoint = tmp_path / "local.json"
    checkpoint.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "local", "latest": latest}}))
    monkeypatch.setattr(stack, "CHECKPOINT", checkpoint)
    monkeypatch.setattr(stack, "STATE", tmp_path)
    monkeypatch.setattr(stack, "pulumi", ask)
    with contextlib.suppress(Asked):
        stack._recover()
    assert questions == asked
