"""Cost of the gateway beside direct access, bare Envoy, HAProxy and vLLM's router, where their programs are on PATH.

    make bench BENCH=gateway [ARGS="--rounds 2 --arms direct gateway envoy"]

All stand in front of the same stand-in engine and are asked in turns, each round the other way round, with bodies of
1 kB, 400 kB and 2 MB. One connection measures latency, eight the requests per second; the proxy's processor time is
counted for each request, and for each thousand of streamed events. Streams that are held open show the memory of one.
HAProxy is given a buffer for the largest body, since it can repeat a request only from one. Expected of the gateway: at
1 kB at most 1 ms (P50) and 3 ms (P99) above direct, at 400 kB 3 ms (P50), and 1.5 times bare Envoy's cost in each of
the others. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.arms import http_load, machine, proxies
from tests.bench.arms.http_load import Counts
from tests.bench.arms.proxies import HEADERS, Arm
from tests.support.ports import free_port

ENGINE = Path(__file__).resolve().parents[1] / "fakes/fast_engine.py"
SIZES = {"1 kB": 1_000, "400 kB": 400_000, "2 MB": 2_000_000}
CONNECTIONS = 8
STREAMS, EVENTS, PAUSE_MS = 100, 40, 50
HELD_STREAMS, HELD_S = 300, 3
LINE = 'def f(x):\n\treturn "\\n".join(x)  # as source code is: full of escapes\n'
Figures = dict[str, float]


def body(size: int) -> bytes:
    """A conversation of about this many bytes."""
    content = LINE * max(1, size // len(json.dumps(LINE)))
    return json.dumps({"messages": [{"role": "user", "content": content}], "model": proxies.MODEL}).encode()


def cpu_s(arm: Arm) -> float:
    return machine.cpu_seconds(arm.pid) if arm.pid else 0.0


def in_turns(
    arms: dict[str, Arm], rounds: int, measure: Callable[[int], Counts], figures: Callable[[Counts, float], Figures]
) -> dict[str, Figures]:
    """Figures of each arm, from all of its counts and its processor seconds; `measure` asks a port."""
    counts, used_s = {name: Counts() for name in arms}, dict.fromkeys(arms, 0.0)
    order = list(arms.items())
    for _ in range(rounds):
        for name, arm in order:
            before_s = cpu_s(arm)
            counts[name] += measure(arm.port)
            used_s[name] += cpu_s(arm) - before_s
        order.reverse()
    return {name: figures(counts[name], used_s[name]) for name in arms}


def latency(counts: Counts, used_s: float) -> Figures:
    percentiles = statistics.quantiles(counts.times_s, n=100)
    return {
        "requests": len(counts.times_s),
        "p50_ms": round(percentiles[49] * 1000, 3),
        "p99_ms": round(percentiles[98] * 1000, 3),
        "cpu_ms_per_request": round(used_s / len(counts.times_s) * 1000, 3),
    }


def full_speed(counts: Counts, used_s: float) -> Figures:
    requests = len(counts.times_s)
    return {
        "requests_per_s": round(requests / counts.wall_s, 1),
        "cpu_ms_per_request": round(used_s / requests * 1000, 3),
    }


def streamed(counts: Counts, used_s: float) -> Figures:
    return {"events": counts.events, "cores_per_1000_events_per_s": round(used_s / counts.events * 1000, 4)}


def memory(arm: Arm) -> Figures:
    """Memory that each open stream adds to a proxy."""
    if not arm.pid:
        return {}
    before = machine.rss_bytes(arm.pid)
    options = (arm.port, body(SIZES["1 kB"]), HELD_STREAMS, 1, HELD_S * 1000)
    clients = threading.Thread(target=http_load.read, args=options, kwargs=HEADERS)
    clients.start()
    time.sleep(HELD_S * 0.7)
    held = machine.rss_bytes(arm.pid)
    clients.join()
    return {"rss_mib": round(before / 2**20, 1), "kib_per_stream": round((held - before) / HELD_STREAMS / 1024, 1)}


def collect(arms: dict[str, Arm], rounds: int, seconds: float) -> dict[str, dict[str, Figures]]:
    """Tables of figures, by what was measured and by arm."""
    tables: dict[str, dict[str, Figures]] = {}

    def told(title: str, table: dict[str, Figures]) -> None:
        tables[title] = table
        for name, figures in table.items():
            values = "".join(f"  {key} {value:10.3f}" for key, value in figures.items())
            print(f"{title:24}{name:14}{values}", flush=True)

    told("memory", {name: memory(arm) for name, arm in arms.items()})
    for label, size in SIZES.items():
        text = body(size)
        for title, connections, figures in (("latency", 1, latency), ("full speed", CONNECTIONS, full_speed)):
            table = in_turns(
                arms,
                rounds,
                lambda port: http_load.ask(port, text, connections, seconds, **HEADERS),  # noqa: B023
                figures,
            )
            told(f"{title}, {label}", table)
    few = body(SIZES["1 kB"])
    read = in_turns(
        arms, rounds, lambda port: http_load.read(port, few, STREAMS, EVENTS, PAUSE_MS, **HEADERS), streamed
    )
    told("streams", read)
    return tables


def compared(tables: dict[str, dict[str, Figures]]) -> dict[str, Figures]:
    """The gateway's milliseconds above direct access, and its other figures over bare Envoy's."""
    results: dict[str, Figures] = {}
    for title, table in tables.items():
        ours, bare, direct = table["gateway"], table.get("envoy", {}), table.get("direct", {})
        above = {
            f"{key} above direct": round(ours[key] - direct[key], 3) for key in ours if key in direct and key[0] == "p"
        }
        over = {
            f"{key} over envoy": round(ours[key] / bare[key], 2)
            for key in ours
            if bare.get(key) and key not in ("requests", "events")
        }
        results[title] = {**above, **over}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="time of each turn")
    parser.add_argument("--arms", nargs="+", choices=proxies.available(), default=proxies.available())
    options = parser.parse_args()
    print(machine.describe())
    engine = free_port()
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(proxies.process(place / "engine", engine, sys.executable, ENGINE, engine))
        arms: dict[str, Arm] = {}
        for name in options.arms:
            (place / name).mkdir()
            arms[name] = stack.enter_context(proxies.ARMS[name](place / name, engine))
        tables = collect(arms, options.rounds, options.seconds)
    results = compared(tables) if "gateway" in tables["memory"] else {}
    for title, figures in results.items():
        print(f"{title:24}" + "".join(f"  {key} {value:.2f}" for key, value in figures.items()))
    print(
        json.dumps(
            {
                "benchmark": "gateway",
                "machine": machine.describe(),
                "rounds": options.rounds,
                "results": tables,
                "compared": results,
            }
        )
    )


if __name__ == "__main__":
    main()
