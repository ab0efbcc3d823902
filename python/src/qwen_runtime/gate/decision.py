"""The conditions of a promotion. Every one that is not met is told, not the first alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from qwen_runtime.compare import document as comparison
from qwen_runtime.errors import Error, Fault

MOST_UNJUDGED = 0.05
"""Share of answers that may have no score: more, and the score says nothing of the rest."""
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Conditions:
    keep: float
    attainment: float
    fresh: timedelta
    across: Sequence[str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Results that `compare.results.read` or a plain read gave."""

    baseline: dict[str, Any]
    candidate: dict[str, Any]
    load: dict[str, Any]
    tools: dict[str, Any] | None


def faults(evidence: Evidence, conditions: Conditions, now: datetime | None = None) -> list[Fault]:
    """The conditions that are not met; none where the candidate may be promoted."""
    now = now or datetime.now(timezone.utc)
    found: list[Fault] = []
    for name in ("candidate", "load", "tools"):
        if (result := getattr(evidence, name)) is not None:
            found += _age(name, result, conditions.fresh, now)
            found += _subject(name, result, evidence.candidate)
    return [
        *found,
        *_kept(evidence, conditions),
        *_judged(evidence.candidate),
        *_slo(evidence.load, conditions.attainment),
        *(_tools(evidence.tools) if evidence.tools else []),
    ]


def _age(name: str, result: dict[str, Any], fresh: timedelta, now: datetime) -> Iterator[Fault]:
    ended = datetime.fromisoformat(result["ended"])
    if not -CLOCKS_DIFFER <= now - ended <= fresh:
        yield Fault(
            name,
            f"ended at {result['ended']}",
            f"an end within the last {fresh.days} days",
            "Measure the candidate anew.",
        )


def _subject(name: str, result: dict[str, Any], candidate: dict[str, Any]) -> Iterator[Fault]:
    for key in ("model", "variant", "hardware", "engine_version"):
        if result["subject"].get(key) != candidate["subject"].get(key):
            yield Fault(
                name,
                f"{key} {result['subject'].get(key)!r}",
                f"the candidate's, {candidate['subject'].get(key)!r}",
                "Measure the candidate itself.",
            )


def _kept(evidence: Evidence, conditions: Conditions) -> Iterator[Fault]:
    try:
        compared = comparison.compare(
            evidence.baseline, evidence.candidate, keep=conditions.keep, across=conditions.across
        )
    except Error as error:
        yield Fault("comparison", error.found, error.needed, error.remedy)
        return
    for score in compared["scores"]:
        if not score["promotes"]:
            yield Fault(
                score["name"],
                f"{score['text']}: keeps {score['kept']:.3f}, interval {score['interval'][0]:.3f} to "
                f"{score['interval'][1]:.3f}"
                if score["pairs"]
                else "no pair that has it",
                f"an interval above {conditions.keep}",
                "Ask for more samples of both." if score["verdict"] == "undecided" else "Do not promote it.",
            )


def _judged(candidate: dict[str, Any]) -> Iterator[Fault]:
    figures = candidate["figures"]
    unjudged = 1 - figures["judged"] / figures["samples"]
    if unjudged > MOST_UNJUDGED:
        yield Fault(
            "candidate",
            f"{unjudged:.1%} of its answers without a score: {figures['never_a_score']}",
            f"at most {MOST_UNJUDGED:.0%}",
            "Raise --max-tokens or mend the endpoint, and evaluate anew.",
        )


def _slo(load: dict[str, Any], attainment: float) -> Iterator[Fault]:
    kept = load["figures"]["slo_attainment"]
    if kept < attainment:
        yield Fault(
            "load",
            f"{kept:.1%} of requests keep the SLO {load['slo']}",
            f"at least {attainment:.1%}",
            "Do not promote it.",
        )


def _tools(tools: dict[str, Any]) -> Iterator[Fault]:
    failing = {check: counted["fails"] for check, counted in tools["figures"].items() if counted["fails"]}
    if failing:
        yield Fault("tools", f"failures in {failing}", "none", "See `failures` in the result.")
