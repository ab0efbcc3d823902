"""The document of a comparison, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwen_runtime.compare import agreement, results, scores, verdict
from qwen_runtime.compare.scores import Pairs, Score
from qwen_runtime.compare.verdict import Judgement
from qwen_runtime.errors import UsageError

FORMAT = 1
KIND = "comparison"
KEEP = 0.95
"""The share that must be kept: the guide asks it of quantised weights."""


def compare(
    baseline: dict[str, Any], candidate: dict[str, Any], *, keep: float = KEEP, across: Sequence[str] = ()
) -> dict[str, Any]:
    """Judgement of every score of two results that `results.read` gave. UsageError where they are not alike."""
    results.refuse_different(baseline, candidate, across)
    before, after = results.items(baseline), results.items(candidate)
    judged = [_judge(score, scores.pair(score, before, after), keep) for score in scores.SCORES[baseline["kind"]]]
    if not any(entry["pairs"] for entry in judged):
        raise UsageError(
            "no item that both results have a score for", "results of the same items", "Measure both with one seed."
        )
    return {
        "format": FORMAT,
        "kind": KIND,
        "of": baseline["kind"],
        "keep": keep,
        "across": list(across),
        "baseline": _arm(baseline),
        "candidate": _arm(candidate),
        "scores": judged,
        "agreement": agreement.of(before, after),
        "promotes": all(entry["promotes"] for entry in judged if entry["pairs"]),
    }


def _judge(score: Score, pairs: Pairs, keep: float) -> dict[str, Any]:
    head = {"name": score.name, "pairs": len(pairs.baseline), "left_out": pairs.left_out}
    if not len(pairs.baseline):
        return {**head, "verdict": None, "promotes": False}
    judgement = verdict.judge(pairs.baseline, pairs.candidate, keep, times=score.is_time)
    return {
        **head,
        "baseline_mean": round(float(pairs.baseline.mean()), 6),
        "candidate_mean": round(float(pairs.candidate.mean()), 6),
        **_told(judgement),
    }


def _told(judgement: Judgement) -> dict[str, Any]:
    interval = judgement.interval
    return {
        "kept": round(interval.estimate, 5),
        "interval": [round(interval.lower, 5), round(interval.upper, 5)],
        "method": interval.method,
        "verdict": judgement.verdict.value,
        "more_pairs": judgement.more_pairs,
        "text": str(judgement),
        "promotes": judgement.promotes,
    }


def _arm(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "started": result.get("started"),
        "subject": result["subject"],
        "items": len(result["requests"]),
        "counts": scores.counts(results.items(result)),
    }


def table(document: dict[str, Any]) -> list[str]:
    lines = [f"{'':<16}{'baseline':>12}{'candidate':>12}{'kept':>9}  {'95 % interval':<18}{'pairs':>6}  verdict"]
    for entry in document["scores"]:
        if not entry["pairs"]:
            lines.append(f"{entry['name']:<16}no pair has it")
            continue
        low, high = entry["interval"]
        lines.append(
            f"{entry['name']:<16}{entry['baseline_mean']:>12.4f}{entry['candidate_mean']:>12.4f}{entry['kept']:>9.3f}  "
            f"{f'{low:.3f} to {high:.3f}':<18}{entry['pairs']:>6}  {entry['text']}"
        )
    if document["agreement"]:
        lines.append(agreement.told(document["agreement"]))
    for name in ("baseline", "candidate"):
        told = ", ".join(f"{count} {what}" for what, count in document[name]["counts"].items())
        lines.append(f"{name}: {document[name]['items']} items; never a score: {told}")
    if harm := document.get("harm"):
        state = "stopped, since harm is shown" if harm["shown"] else "no harm shown"
        lines.append(
            f"{state}: {harm['asked']} sessions, of which the candidate alone failed {harm['lost']}, the baseline "
            f"alone {harm['won']}"
        )
    return lines
