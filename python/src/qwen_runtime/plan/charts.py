"""Charts of a plan as SVG, drawn by matplotlib from the plan's document alone."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qwen_runtime.units import GIB, GIGA, TERA

BLUE, ORANGE, GREEN, GREY, LIGHT = "#1f5fa8", "#d9822b", "#3c8d5a", "#8a8f98", "#d5d9df"
PARTS = {
    "weights": BLUE,
    "process": "#7a4f9a",
    "graphs": "#a874c0",
    "activations": "#c9a6d8",
    "absorbed": "#e0c9ea",
    "KV cache": GREEN,
    "not for the engine": LIGHT,
}
NAMES = {"process": "driver and libraries", "graphs": "CUDA graphs", "absorbed": "unfolding matrices"}
WIDTH, HEIGHT = 8.6, 3.4
"""Size of a chart in inches, which a browser scales to the page."""


def memory(document: dict[str, Any]) -> str:
    """Bars of the memory of each GPU, part by part."""
    hardware, held = document["hardware"], document["memory"]
    total = hardware["memory_bytes_per_gpu"]
    parts = {"weights": held["weights_bytes_per_gpu"], **held["headroom_parts_per_gpu"]}
    parts["KV cache"] = held["kv_bytes_per_gpu"]
    parts["not for the engine"] = max(0, total - sum(parts.values()))
    gpus = document["layout"]["gpus_per_replica"]
    figure, axes = _chart(HEIGHT if gpus > 1 else HEIGHT / 2)
    names = [f"GPU {number}" for number in range(min(gpus, 8))]
    start = 0.0
    for part, size_bytes in parts.items():
        size_gib = size_bytes / GIB
        label = f"{NAMES.get(part, part)} {size_gib:.1f}"
        axes.barh(names, size_gib, left=start, color=PARTS[part], label=label, height=0.72, edgecolor="white")
        start += size_gib
    axes.invert_yaxis()
    axes.set_xlabel("GiB of each GPU")
    axes.set_xlim(0, total / GIB)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16 if gpus > 1 else -0.35), ncol=4, frameon=False)
    return _svg(figure)


def roofline(document: dict[str, Any]) -> str:
    """Limits of what one GPU can compute at each ratio of arithmetic to memory traffic, and where this plan works."""
    roof = document["roofline"]
    peak, bandwidth = roof["flops_per_s"], roof["bandwidth_bytes_per_s"]
    figure, axes = _chart()
    points = [(point["flops"] / point["bytes"], point["flops"] / point["seconds"]) for point in roof["points"]]
    ridge = peak / bandwidth
    low, high = min(1.0, *(x for x, _ in points)) / 2, max(10 * ridge, *(x * 2 for x, _ in points))
    axes.plot([low, ridge, high], [low * bandwidth / TERA, peak / TERA, peak / TERA], color=GREY, linewidth=2)
    for (x, y), point, colour in zip(points, roof["points"], (BLUE, ORANGE, GREEN), strict=False):
        share = y / min(peak, x * bandwidth)
        axes.scatter(x, y / TERA, s=60, color=colour, zorder=3, label=f"{point['what']}: {share:.0%} of the roof")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations for each byte that is read")
    axes.set_ylabel("TFLOP/s of one GPU")
    axes.text(high, peak / TERA * 1.12, f"{peak / TERA:.0f} TFLOP/s", ha="right", color=GREY)
    axes.text(low * 1.2, low * bandwidth / TERA * 2.2, f"{bandwidth / GIGA:.0f} GB/s", color=GREY, rotation=28)
    axes.legend(loc="lower right", frameon=False)
    return _svg(figure)


def speed(document: dict[str, Any]) -> str:
    """Tokens per second of the site and of one user against the requests in flight, with the likely range."""
    rows = document["predicted"]
    figure, axes = _chart()
    users = [row["concurrency"] for row in rows]
    axes.fill_between(
        users,
        [row["likely"]["output_tokens_per_s"][0] for row in rows],
        [row["likely"]["output_tokens_per_s"][1] for row in rows],
        color=BLUE,
        alpha=0.15,
        label="four of five measurements",
    )
    axes.plot(users, [row["output_tokens_per_s"] for row in rows], "o-", color=BLUE, label="the site")
    axes.axvline(document["wishes"]["concurrency"], color=GREY, linestyle=":", label="planned load")
    axes.set_xscale("log", base=2)
    axes.set_xticks(users, [str(number) for number in users])
    axes.set_xlabel("requests in flight")
    axes.set_ylabel("tokens/s of the site", color=BLUE)
    axes.set_ylim(bottom=0)
    of_one = axes.twinx()
    of_one.plot(users, [1 / row["inter_token_s"] for row in rows], "s-", color=ORANGE, label="one user (right)")
    of_one.set_ylabel("tokens/s of one user", color=ORANGE)
    of_one.set_ylim(bottom=0)
    of_one.spines["top"].set_visible(False)
    drawn, names = (
        left + right
        for left, right in zip(axes.get_legend_handles_labels(), of_one.get_legend_handles_labels(), strict=True)
    )
    axes.legend(drawn, names, loc="upper center", ncol=4, frameon=False, bbox_to_anchor=(0.5, -0.18))
    return _svg(figure)


def _chart(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The drawing as an element of a page; the same plan gives the same bytes."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "plan", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    drawing = text.getvalue()
    return drawing[drawing.index("<svg") :]
