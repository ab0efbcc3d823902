"""Seconds from the command to the last session that a canary answers, beside a `pulumi up` that changes nothing.

    make bench BENCH=going_back [ARGS="--rounds 3"]      after `make up`

Half of the sessions are the canary's. The command gives all of them back to the old entry while eight clients ask for
one session after the other, each time over a new connection, so that both gateways are asked. Expected: the canary's
last answer is asked for within 5 s. A `pulumi up` without a change shows the command's floor. The last line is JSON:
medians, and the ratio of both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
import time

from lab.cluster import stack
from lab.paths import SUMMARY
from tests.bench.arms import machine
from tests.support.sharing import committed, share, variant

EXPECTED_S = 5.0
ASKERS = 8


class Askers:
    """Threads that ask for sessions and note when the canary's last answer was asked for."""

    def __init__(self, model: str) -> None:
        self.last_s = time.perf_counter()
        self.stopped = threading.Event()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._ask, args=(model,)) for _ in range(ASKERS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, model: str) -> None:
        while not self.stopped.is_set():
            begun_s = time.perf_counter()
            if variant(model, str(next(self._numbers))) == "new":
                self.last_s = max(self.last_s, begun_s)

    def end(self) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join()


def unchanged() -> float:
    begun_s = time.perf_counter()
    stack.up()
    return time.perf_counter() - begun_s


def going_back(kept: str, model: str) -> tuple[float, float]:
    """Seconds until the canary's last answer, and until the command has ended."""
    share(kept, model, 50, 50)
    time.sleep(8)
    askers = Askers(model)
    time.sleep(2)
    begun_s = time.perf_counter()
    share(kept, model, 100, 0)
    ended_s = time.perf_counter()
    time.sleep(8)
    askers.end()
    return askers.last_s - begun_s, ended_s - begun_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    model = json.loads(SUMMARY.read_text())["model"]
    seconds: dict[str, list[float]] = {"unchanged": [], "last answer": [], "command": []}
    with committed() as kept:
        share(kept, model, 100, 0)
        for number in range(rounds):
            seconds["unchanged"].append(unchanged())
            last_s, command_s = going_back(kept, model)
            seconds["last answer"].append(last_s)
            seconds["command"].append(command_s)
            print(f"round {number}: " + ", ".join(f"{name} {each[-1]:.1f} s" for name, each in seconds.items()))
    medians = {name: round(statistics.median(each), 2) for name, each in seconds.items()}
    ratio = round(medians["last answer"] / medians["unchanged"], 2)
    verdict = "within" if medians["last answer"] <= EXPECTED_S else "above"
    print(f"{medians['last answer']:.1f} s, {verdict} {EXPECTED_S:.0f} s")
    print(json.dumps({"machine": machine.describe(), "rounds": rounds, "seconds": medians, "over_unchanged": ratio}))


if __name__ == "__main__":
    main()
