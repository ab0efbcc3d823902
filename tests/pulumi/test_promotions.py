"""Promotions: what a change may give to an entry of a shared name, and what it is refused without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from qwen_stack import config, promotions
from qwen_stack.components.promotion import PromotionError
from tests.fakes.results import SUBJECT, bench, humaneval, written

from .recorded_stack import run_program

NAME = "tiny"
OLD = "model-server (smollm2-135m-instruct by vllm)"
NEW = "model-server-new (smollm2-135m-instruct by transformers)"
SERVED = {NAME: {"percent": {OLD: 90.0, NEW: 10.0}, "byRight": [OLD]}}
Values = dict[str, Any]


@pytest.fixture
def shares(local: Values) -> Any:
    """The stack with these weights of two entries, and further keys of the new one."""
    first, second = local["models"]

    def with_weights(old: int, new: int, **keys: Any) -> Values:
        entries = [
            {**first, "servedName": NAME, "variant": "old", "weight": old},
            {**second, "servedName": NAME, "variant": "new", "weight": new, **keys},
        ]
        return {**local, "models": entries}

    return with_weights


@pytest.fixture
def evidence(tmp_path: Path) -> Any:
    """The key `evidence` with results of both entries, changed as told."""
    old, new = ({**SUBJECT, "model": NAME, "variant": word} for word in ("old", "new"))

    def files(lost: int = 0, attainment: float = 0.99, days_old: float = 0, **subject: Any) -> dict[str, str]:
        measured = {**new, **subject}
        return {
            "baseline": humaneval(tmp_path / "baseline.json", subject=old, days_old=90),
            "candidate": humaneval(tmp_path / "candidate.json", lost, days_old=days_old, subject=measured),
            "load": bench(tmp_path / "load.json", attainment, subject=measured),
        }

    return files


def refusal(values: Values, served: Any = SERVED) -> str:
    with pytest.raises(PromotionError) as refused:
        run_program(values, outputs={"serving": served})
    return str(refused.value)


def judged(values: Values, served: Any = SERVED) -> tuple[list[promotions.Judgement], dict[str, Any]]:
    settings = config.parse(values)
    judgements = promotions.judge(settings, served, Path("/"))
    return judgements, promotions.serving(settings, served, judgements)


@pytest.mark.parametrize(("old", "new"), [(50, 50), (0, 100), (89, 11)])
def test_a_larger_share_is_refused_without_an_evaluation(shares: Any, old: int, new: int) -> None:
    message = refusal(shares(old, new))
    assert "models[1].evidence: found: none, and this change raises" in message
    assert f"from 10 to {new} percent of {NAME}" in message
    assert "needed: " in message
    assert "remedy: evaluate as docs/operate/release.md says" in message


def test_a_fresh_evaluation_that_keeps_what_the_old_entry_does_promotes(shares: Any, evidence: Any) -> None:
    values = shares(0, 100, evidence=evidence())
    assert run_program(values, outputs={"serving": SERVED})
    _, serving = judged(values)
    assert serving[NAME]["percent"] == {OLD: 0, NEW: 100}
    assert serving[NAME]["byRight"] == [OLD, NEW]
    assert serving[NAME]["lastPromotion"]["verdict"] == "promoted"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lost": 30}, "models[1].evidence.candidate pass_at_1: found: worse: keeps 0.817"),
        ({"lost": 6}, "models[1].evidence.candidate pass_at_1: found: undecided"),
        ({"attainment": 0.9}, "models[1].evidence.load: found: 90.0% of requests keep the SLO"),
        ({"days_old": 15}, "models[1].evidence.candidate: found: ended at"),
        ({"variant": "other"}, "models[1].evidence.candidate: found: a result of model 'tiny', variant 'other'"),
        ({"variant": "old"}, "models[1].evidence.baseline: found: a result of the candidate itself"),
    ],
)
def test_evidence_that_does_not_speak_for_this_entry_is_refused(
    shares: Any, evidence: Any, changes: dict[str, Any], message: str
) -> None:
    assert message in refusal(shares(0, 100, evidence=evidence(**changes)))


def test_tool_calls_that_fail_are_refused_where_they_were_evaluated(shares: Any, evidence: Any, tmp_path: Path) -> None:
    figures = {"schema": {"holds": 3, "fails": 2, "not_seen": 0}}
    subject = {**SUBJECT, "model": NAME, "variant": "new"}
    tools = written(tmp_path / "t.json", "tools", figures=figures, failures=[], subject=subject)
    message = refusal(shares(0, 100, evidence={**evidence(), "tools": tools}))
    assert "models[1].evidence.tools: found: failures in {'schema': 2}" in message


def test_a_result_that_cannot_be_read_is_named(shares: Any, evidence: Any) -> None:
    message = refusal(shares(0, 100, evidence={**evidence(), "load": "/nonexistent.json"}))
    assert "models[1].evidence: found: /nonexistent.json cannot be read" in message


def test_conditions_are_the_stacks(shares: Any, evidence: Any) -> None:
    values = {**shares(0, 100, evidence=evidence(attainment=0.9)), "promotion": {"attainment": 0.8}}
    assert run_program(values, outputs={"serving": SERVED})
    assert "from 10 to 30 percent" in refusal({**shares(70, 30), "promotion": {"trialPercent": 20}})


def test_an_override_is_shown_with_its_person_and_reason_and_kept(shares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", shown.append)
    values = shares(0, 100, override={"by": "A. Person", "because": "the old one leaks"})
    run_program(values, outputs={"serving": SERVED})
    [warning] = shown
    assert warning.startswith("A. Person promotes ")
    assert "because: the old one leaks" in warning
    assert "models[1].evidence: found: none" in warning
    _, serving = judged(values)
    last = serving[NAME]["lastPromotion"]
    assert (last["verdict"], last["by"], last["because"]) == ("overridden", "A. Person", "the old one leaks")
    assert last["notMet"]


def test_an_override_that_overrides_nothing_is_told(shares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", shown.append)
    run_program(shares(90, 10, override={"by": "a", "because": "b"}), outputs={"serving": SERVED})
    assert shown == ["models[1].override overrides nothing: pulumi config rm --path models[1].override"]


def test_an_override_names_a_person_and_a_reason(shares: Any) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.parse(shares(0, 100, override={"by": ""}))
    assert [problem.keys for problem in refused.value.problems] == [
        ("models[1].override.by",),
        ("models[1].override.because",),
    ]


@pytest.mark.parametrize(
    ("old", "new", "served"),
    [
        (90, 10, {}),  # nothing answered for the name yet
        (0, 100, {}),
        (90, 10, {NAME: {"percent": {OLD: 100}, "byRight": [OLD]}}),  # a trial
        (100, 0, SERVED),  # going back
        (100, 0, {NAME: {"percent": {OLD: 0, NEW: 100}, "byRight": [OLD, NEW]}}),
        (0, 100, {NAME: {"percent": {OLD: 0, NEW: 100}, "byRight": [OLD, NEW]}}),  # no change
    ],
)
def test_trials_and_going_back_ask_for_nothing(shares: Any, old: int, new: int, served: Any) -> None:
    judgements, _ = judged(shares(old, new), served)
    assert judgements == []


def test_an_entry_that_takes_a_whole_name_is_a_promotion(shares: Any) -> None:
    alone = {**shares(0, 100)["models"][1], "server": "model-server-new"}
    values = {**shares(0, 100), "models": [alone]}
    assert "from 10 to 100 percent" in refusal(values)


def test_other_weights_under_the_same_name_are_a_promotion(local: Values) -> None:
    served = {"smollm2-135m-instruct": {"percent": {"model-server (older-weights by vllm)": 100}, "byRight": []}}
    assert "models[0].evidence: found: none, and this change raises" in refusal(local, served)


def test_an_entry_on_trial_gets_no_right_by_being_there(shares: Any) -> None:
    _, first = judged(shares(90, 10), {})
    assert first[NAME]["byRight"] == [OLD]
    assert json.loads(json.dumps(first)) == first, "an output is plain data"
    _, second = judged(shares(90, 10), first)
    assert second == first


def test_an_entry_that_was_removed_can_come_back(shares: Any) -> None:
    served = {NAME: {"percent": {OLD: 0, NEW: 100}, "byRight": [OLD, NEW]}}
    alone = {**shares(0, 100)["models"][1], "server": "model-server-new"}
    _, without = judged({**shares(0, 100), "models": [alone]}, served)
    judgements, _ = judged(shares(100, 0), without)
    assert judgements == []
