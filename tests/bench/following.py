"""Replicas of the lab that follow the requests beside two that always run, while requests rise and fall.

    make bench BENCH=following [ARGS="--phase-s 120"]      after `make up` and `make autoscaling`

Requests arrive at 2 a second, rise to 10, stay, fall to 1 and stay: five phases. Both arms get the same requests, one
after the other; a replica of the lab computes on one core. A request keeps its bounds by its first token, counted from
when it was due, and by its time for each token. Replica-time counts pods from their creation to their end. The
autoscaler remembers for `--memory-s`, in place of the longest start that a stack expects. Expected: the same share
within 2 points for less replica-time, where a start takes a tenth of a phase; a shorter phase shows what a start
costs. The last line is JSON.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from lab.machine import ports
from lab.paths import API_KEY, BIN, KUBECONFIG, SUMMARY
from lab.shell import output
from tests.bench.arms import machine
from tests.support.autoscaled import Load
from tests.support.followed import REPLICAS_BEFORE, Followed, following, keda_installed
from tests.support.load import repeated
from tests.support.waiting import wait_until

TARGET = 3
TOKENS = 8
LOOK_S = 2.0
PATIENCE_S = 120
Times = tuple[float, float]
"""Seconds until the first token, and for each later one."""


def kubectl(*arguments: str) -> str:
    return output(BIN / "kubectl", "--kubeconfig", KUBECONFIG, *arguments)


def due(load: Load, seed: int = 1) -> Iterator[float]:
    """Seconds after the begin at which requests are sent."""
    chance = random.Random(seed)
    now_s = chance.expovariate(load.rate(0))
    while now_s < load.duration_s:
        yield now_s
        now_s += chance.expovariate(load.rate(now_s))


def asked(model: str, number: int, due_s: float) -> Times | None:
    """Times of one streamed answer; None for one that failed. `due_s` is a time of perf_counter()."""
    time.sleep(max(0.0, due_s - time.perf_counter()))
    question = {"model": model, "prompt": f"{number} is", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    headers = {"Authorization": f"Bearer {API_KEY.read_text().strip()}", "Content-Type": "application/json"}
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", ports.GATEWAY, timeout=PATIENCE_S)) as connection:
            connection.request("POST", "/v1/completions", json.dumps(question), headers)
            answer = connection.getresponse()
            lines = [(time.perf_counter(), line) for line in answer]
    except (OSError, http.client.HTTPException):
        return None
    arrived = [at_s for at_s, line in lines if b'"choices":[{' in line]
    if not arrived or lines[-2][1] != b"data: [DONE]\n":
        return None
    return arrived[0] - due_s, (arrived[-1] - arrived[0]) / (TOKENS - 1)


def run(model: str, load: Load, followed: Followed) -> tuple[list[Times | None], float]:
    """Times of all requests, and the replica-seconds that the load took."""
    pods: list[tuple[float, int]] = []

    def look() -> None:
        pods.append((time.perf_counter(), len(followed.pods())))

    moments = list(due(load))
    with repeated(look, pause_s=LOOK_S), ThreadPoolExecutor(len(moments)) as threads:
        begun_s = time.perf_counter()
        asking = [threads.submit(asked, model, number, begun_s + at_s) for number, at_s in enumerate(moments)]
        times = [one.result() for one in asking]
        time.sleep(max(0.0, begun_s + load.duration_s - time.perf_counter()))
    seen = [(at_s, count) for at_s, count in pods if at_s >= begun_s]
    return times, sum(count for _, count in seen) / len(seen) * load.duration_s


def result(times: list[Times | None], replica_s: float, bounds: Times) -> dict[str, Any]:
    kept = [one for one in times if one and one[0] <= bounds[0] and one[1] <= bounds[1]]
    firsts = sorted(one[0] for one in times if one)
    return {
        "within": round(len(kept) / len(times), 4),
        "failed": times.count(None),
        "first_token_p50_s": round(firsts[len(firsts) // 2], 2),
        "first_token_p95_s": round(firsts[len(firsts) * 95 // 100], 2),
        "replica_s": round(replica_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phase-s", type=float, default=60)
    parser.add_argument("--memory-s", type=int, default=60)
    parser.add_argument("--first-s", type=float, default=2.0, help="bound of a first token")
    parser.add_argument("--token-s", type=float, default=0.25, help="bound of the time for each token")
    options = parser.parse_args()
    model = json.loads(SUMMARY.read_text())["model"]
    load, bounds = Load(phase_s=options.phase_s), (options.first_s, options.token_s)
    fixed = result(*run(model, load, Followed(kubectl)), bounds)
    print(f"{REPLICAS_BEFORE} replicas: {fixed}", flush=True)
    with keda_installed(), following(kubectl, {"min": 1, "max": REPLICAS_BEFORE, "target": TARGET}) as followed:
        followed.remember_for(1)
        wait_until(lambda: followed.wanted() == len(followed.pods()) == 1, "one replica", PATIENCE_S)
        followed.remember_for(options.memory_s)
        followed.counts.clear()
        with repeated(followed.look, pause_s=LOOK_S):
            begun_s = time.monotonic()
            follows = result(*run(model, load, followed), bounds)
        looks = itertools.pairwise(followed.counts)
        changes = [(round(at_s - begun_s), now) for (_, was), (at_s, now) in looks if now != was]
    print(f"following: {follows}, wanted {changes}", flush=True)
    ratio = {name: round(follows[name] / fixed[name], 3) for name in ("within", "replica_s") if fixed[name]}
    told = {
        "machine": machine.describe(),
        "phase_s": options.phase_s,
        "bounds_s": bounds,
        "requests": len(list(due(load))),
    }
    print(json.dumps({**told, "fixed": fixed, "followed": follows, "wanted": changes, "followed_over_fixed": ratio}))


if __name__ == "__main__":
    main()
