"""The figures of a site as tables in a terminal, by rich."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qwen_runtime.watch.figures import Column, Figures, Key, health

MOST_GPUS = 32
"""GPUs that are shown without being asked for: four hosts of eight."""
NOTHING = "–"
NAMES = ("model", "server", "host")


def frame(figures: Figures, node: str | None = None) -> RenderableType:
    """The whole screen. `node` shows the GPUs of one host alone; else they are shown where they are few."""
    parts: list[RenderableType] = [_state(figures), _site(figures), _models(figures)]
    if figures.hosts:
        parts.append(_hosts(figures))
    gpus = [gpu for gpu in figures.gpus if node in (None, gpu[0])]
    if node is not None or len(gpus) <= MOST_GPUS:
        parts.append(_gpus(figures, gpus))
    else:
        parts.append(Text(f"{len(gpus)} GPUs: --node NAME shows those of a host", style="dim"))
    return Group(*parts)


def plain(text: str) -> str:
    """Text of others without characters that a terminal obeys."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _state(figures: Figures) -> Text:
    line = health(figures)
    return Text(plain(line), style="bold green" if line.startswith("well") else "bold red")


def _site(figures: Figures) -> Text:
    answers = "  ".join(f"{kind} {rate:.2f}/s" for (kind,), rate in sorted(figures.answers.items()))
    budget = "  ".join(f"{slo} {_percent(left)}" for (slo,), left in sorted(figures.budget.items()))
    lines = (
        f"answers: {answers or NOTHING}",
        f"connections: {figures.site['connections']:.0f}   GPUs planned for models: {figures.site['planned GPUs']:.0f}"
        f"   power: {figures.site['power'] / 1000:.2f} kW",
        f"budget left: {budget or NOTHING}",
    )
    return Text("\n".join(map(plain, lines)))


def _models(figures: Figures) -> Table:
    table = _table(
        "model", "server", "ready", "running", "waiting", "tokens/s", "first token P95", "KV cache", "errors/s"
    )
    of = figures.of_model
    for server, name in figures.models:
        key = (server,)
        waiting = _number(of["waiting"], key)
        table.add_row(
            Text(plain(name)),
            Text(plain(server)),
            _planned(of["ready"].get(key), of["planned"].get(key)),
            _number(of["running"], key),
            Text(waiting, style="yellow" if of["waiting"].get(key) else ""),
            _number(of["tokens"], key, 1),
            _seconds(of["first token"].get(key)),
            _percent(of["KV cache"].get(key)),
            _number(of["errors"], key, 2),
        )
    return table


def _hosts(figures: Figures) -> Table:
    table = _table("host", "GPUs", "utilisation", "hottest", "power", "processors", "memory free", "disk free")
    of = figures.of_host
    planned = of["planned"].get(())
    for key in figures.hosts:
        seen = of["GPUs"].get(key)
        table.add_row(
            Text(plain(key[0])),
            # Which hosts should have GPUs is known to alerts alone.
            Text(NOTHING) if seen is None else _planned(seen, planned),
            _percent(of["utilisation"].get(key)),
            _number(of["hottest"], key, 0, " °C"),
            _number(of["power"], key, 0, " W"),
            _percent(of["processors"].get(key)),
            _percent(of["memory"].get(key)),
            _percent(of["disk"].get(key)),
        )
    return table


def _gpus(figures: Figures, gpus: Iterable[Key]) -> Table:
    table = _table("host", "GPU", "utilisation", "memory", "temperature", "power", "clock", "last XID")
    of = figures.of_gpu
    for key in gpus:
        xid = _number(of["XID"], key)
        table.add_row(
            Text(plain(key[0])),
            Text(plain(key[1])),
            _percent(of["utilisation"].get(key)),
            _memory(of["used"].get(key), of["free"].get(key)),
            _number(of["temperature"], key, 0, " °C"),
            _number(of["power"], key, 0, " W"),
            _number({row: value / 1e6 for row, value in of["clock"].items()}, key, 0, " MHz"),
            Text(xid, style="bold red" if of["XID"].get(key) else ""),
        )
    return table


def _table(*columns: str) -> Table:
    """A table of figures, and of the names that they belong to."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in NAMES else "right", no_wrap=True)
    return table


def _planned(seen: float | None, planned: float | None) -> Text:
    found, wanted = seen or 0, planned or 0
    return Text(f"{found:.0f} of {wanted:.0f}", style="bold red" if found < wanted else "")


def _number(column: Column, key: Key, digits: int = 0, unit: str = "") -> str:
    value = column.get(key)
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}{unit}"


def _percent(share: float | None) -> str:
    return NOTHING if share is None or not math.isfinite(share) else f"{share:.0%}"


def _seconds(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _memory(used: float | None, free: float | None) -> str:
    if used is None or free is None:
        return NOTHING
    return f"{used / 2**30:.1f} of {(used + free) / 2**30:.1f} GiB"
