"""Cost of the supervisor for an engine: the same process with its supervisor at work, and stopped by SIGSTOP.

    make contract                                # installs the serving environment once; `make up` converts the model
    make bench BENCH=supervisor [ARGS="--streams 1 --rounds 24 --engine transformers"]

One process is compared with itself, so that nothing else differs. It is asked in turns, each round the other way round,
for greedy answers of 64 tokens. Expected: nothing measurable, so that the ratio is 1 within what the rounds differ by.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.bench import engines
from tests.bench.arms import machine, model
from tests.bench.arms.server import Figures, Server


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def spread(values: list[float]) -> float:
    """Spread of the middle half of the rounds, as a share of their median."""
    lower, middle, upper = statistics.quantiles(values, n=4)
    return (upper - lower) / middle


def compare(server: Server, numbers: Iterator[int], streams: int, rounds: int) -> Figures:
    """Factor by which the engine is better with the supervisor at work, and the spread of the rounds."""
    measured: dict[str, list[Figures]] = {"at work": [], "stopped": []}
    order: list[tuple[str, Callable[[int], AbstractContextManager[object]]]]
    order = [("at work", nullcontext), ("stopped", stopped)]
    for _ in range(rounds):
        for name, surrounding in order:
            with surrounding(server.pid):
                measured[name].append(server.measure(list(itertools.islice(numbers, streams))))
        order.reverse()

    def median(name: str, key: str) -> float:
        return statistics.median(each[key] for each in measured[name])

    return {
        "tokens_per_s": round(median("at work", "tokens_per_s") / median("stopped", "tokens_per_s"), 3),
        "first_p50_s": round(median("stopped", "first_p50_s") / median("at work", "first_p50_s"), 3),
        "rounds_differ_by": round(spread([each["tokens_per_s"] for each in measured["stopped"]]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=sorted(engines.SUPERVISED), default="vllm")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    print(machine.describe())
    gains: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch:
        server = engines.ARMS[options.engine](model.copy_to(Path(scratch)), Path(scratch))
        assert isinstance(server, Server)
        try:
            numbers = itertools.count()
            for streams in options.streams:
                gains[str(streams)] = compare(server, numbers, streams, options.rounds)
                print(engines.row(f"{streams:3} streams, at work over stopped", gains[str(streams)], 3), flush=True)
        finally:
            server.close()
    print(
        json.dumps(
            {
                "benchmark": "supervisor",
                "engine": options.engine,
                "machine": machine.describe(),
                "rounds": options.rounds,
                "gains": gains,
            }
        )
    )


if __name__ == "__main__":
    main()
