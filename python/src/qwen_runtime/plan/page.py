"""A plan as one page for a browser, with nothing that it would have to fetch: an operator can mail it."""

from __future__ import annotations

from html import escape
from typing import Any

from qwen_runtime.plan import charts, table

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2430; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; } figcaption { color: #566072; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d5d9df; }
th:first-child, td:first-child { text-align: left; }
.note { background: #fdf3e3; border-left: 4px solid #d9822b; padding: .5rem .8rem; margin: .5rem 0; }
pre { background: #f3f5f8; padding: .8rem; overflow-x: auto; font: .8rem/1.35 ui-monospace, monospace; }
@media print { body { margin: 0; max-width: none; } pre { white-space: pre-wrap; } }
"""


def render(document: dict[str, Any]) -> str:
    """The page of a plan that fits. Needs matplotlib."""
    notes = "".join(f'<p class="note">{escape(text)}</p>' for text in document["warnings"])
    sections = [
        f"<h1>{escape(document['reason'])}</h1>{notes}",
        _team(document["workload"]) if document.get("workload") else "",
        _section("Memory of each GPU", charts.memory(document), _memory_caption(document)),
        _section("Speed", charts.speed(document), _speed_caption(document)) if document["predicted"] else "",
        _section("Where it works on the roofline", charts.roofline(document), ROOFLINE)
        if document.get("roofline")
        else "",
        f"<h2>The whole plan</h2><pre>{escape(table.render(document))}</pre>",
        f"<p>Made by <code>{escape(document['command'])}</code></p>",
    ]
    title = escape(document["model"]["name"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Plan: {title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{''.join(sections)}</body></html>\n"
    )


ROOFLINE = (
    "Left of the bend the memory's bandwidth is the limit, right of it the arithmetic. The rest of each step is "
    "launching kernels, agreeing between GPUs, and what efficiencies leave."
)


def _section(title: str, drawing: str, caption: str) -> str:
    return f"<h2>{title}</h2><figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _memory_caption(document: dict[str, Any]) -> str:
    layout, memory = document["layout"], document["memory"]
    return (
        f"{layout['name']}: {layout['gpus_per_replica']} GPUs to an engine, {layout['replicas']} engines. The KV cache "
        f"of one engine or attention group holds {memory['kv_tokens']:,} tokens."
    )


def _speed_caption(document: dict[str, Any]) -> str:
    wishes = document["wishes"]
    return f"Predicted for {wishes['input_tokens']:,} tokens in and {wishes['output_tokens']:,} out."


def _team(workload: dict[str, Any]) -> str:
    """The busy hour of the team, on the planned GPUs and on larger ones."""
    head = ("GPU", "hosts", "in flight", "busiest", "held", "cached", "first token", "a turn", "tokens/s of a user")
    rows = "".join(_row(row) for row in (workload, *workload["others"]))
    columns = "".join(f"<th>{name}</th>" for name in head)
    return (
        f"<h2>{workload['developers']} developers in their busy hour ({escape(workload['profile'])})</h2>"
        f"<p>{escape(workload['why'])}.</p><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(row: dict[str, Any]) -> str:
    hour, spare = row["busy_hour"], row["nodes_spare"]
    hosts = f"{row['nodes'] - spare} + {spare} spare" if spare else str(row["nodes"])
    if hour is None or hour["in_flight"] is None:
        why = "does not fit" if hour is None else "more requests arrive than are answered"
        return f'<tr><td>{escape(row["gpu"])}</td><td>{hosts}</td><td colspan="7">{why}</td></tr>'
    cells = (
        row["gpu"],
        hosts,
        f"{hour['in_flight']:.1f}",
        f"{hour['busiest']:.0f}",
        f"{hour['held']}",
        f"{hour['cached_share']:.0%}",
        f"{hour['ttft_s']:.2f} s",
        f"{hour['turn_s']:.1f} s",
        f"{hour['output_tokens_per_s_per_user']:.0f}",
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
