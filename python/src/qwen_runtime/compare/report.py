"""The report of a comparison: one HTML file with its plots in it, which needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from qwen_runtime.compare import agreement, results, scores

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; } td, th { padding: .3em .8em; border-bottom: 1px solid #ccc; }
td { text-align: right; } td:first-child, td:last-child { text-align: left; } svg { max-width: 100%; height: auto; }
"""
COLOURS = {"better": "#1a7f37", "kept": "#1a7f37", "worse": "#b42318", "undecided": "#9a6700"}
ARMS = ("baseline", "candidate")


def html(compared: dict[str, Any], baseline: dict[str, Any], candidate: dict[str, Any]) -> str:
    """The page of a comparison and of the two results that it is of."""
    judged = [entry for entry in compared["scores"] if entry["pairs"]]
    verdict = "may be promoted" if compared["promotes"] else "is not to be promoted"
    parts = [
        f"<h1>The candidate {verdict}</h1>",
        f"<p>It must keep {compared['keep']} of the baseline; intervals are of 95 %.</p>",
        *(f"<p>{escape(line)}</p>" for line in _arms(compared)),
        _table(judged),
        "<h2>Share that is kept</h2>",
        svg(_forest(judged, compared["keep"])),
        *_distributions(compared["of"], baseline, candidate),
    ]
    head = f'<meta charset="utf-8"><title>Comparison</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _arms(compared: dict[str, Any]) -> Iterator[str]:
    for name in ARMS:
        arm = compared[name]
        subject = arm["subject"]
        told = ", ".join(f"{count} {what}" for what, count in arm["counts"].items())
        yield (
            f"{name}: {subject['model']} on {subject['hardware'] or 'unnamed hardware'}, engine "
            f"{subject['engine_version']}, {arm['started']}, {arm['items']} items; never a score: {told}"
        )
    if compared["agreement"]:
        yield agreement.told(compared["agreement"])


def _table(judged: list[dict[str, Any]]) -> str:
    titles = ("score", "baseline", "candidate", "kept", "interval", "pairs", "verdict")
    rows = [
        (
            entry["name"],
            f"{entry['baseline_mean']:.4f}",
            f"{entry['candidate_mean']:.4f}",
            f"{entry['kept']:.3f}",
            "{:.3f} to {:.3f}".format(*entry["interval"]),
            str(entry["pairs"]),
            entry["text"],
        )
        for entry in judged
    ]
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _forest(judged: list[dict[str, Any]], keep: float) -> Figure:
    """The interval of each score beside the share that must be kept, and beside equality."""
    figure = Figure(figsize=(8, 1 + 0.5 * len(judged)), layout="constrained")
    axes = figure.subplots()
    for row, entry in enumerate(judged):
        low, high = (min(bound, 3.0) for bound in entry["interval"])
        colour = COLOURS[entry["verdict"]]
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot(min(entry["kept"], 3.0), row, "o", color=colour)
    axes.axvline(keep, color="black", linestyle="--", linewidth=1)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks(range(len(judged)), [entry["name"] for entry in judged])
    axes.invert_yaxis()
    axes.set_xlabel(f"share of the baseline; dashed: {keep}")
    return figure


def _distributions(kind: str, baseline: dict[str, Any], candidate: dict[str, Any]) -> Iterator[str]:
    """Share of items that took no longer, for each time."""
    for score in scores.SCORES[kind]:
        pairs = scores.pair(score, results.items(baseline), results.items(candidate))
        if not score.is_time or not len(pairs.baseline):
            continue
        figure = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.subplots()
        for name, values in zip(ARMS, (pairs.baseline, pairs.candidate), strict=True):
            axes.step(np.sort(values), np.arange(1, len(values) + 1) / len(values), where="post", label=name)
        unit = " (s)" if score.name.endswith("_s") else ""
        axes.set_xlabel(score.name.removesuffix("_s").replace("_", " ") + unit)
        axes.set_ylabel("share of items")
        axes.legend()
        yield f"<h2>{escape(score.name)}</h2>{svg(figure)}"


def svg(figure: Figure) -> str:
    """The drawing as an element of a page: the same for the same figures, with letters as text."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "qwen-runtime", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]
