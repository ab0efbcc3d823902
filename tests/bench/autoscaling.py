"""Replicas that follow the requests beside a fixed number, while requests rise from 2 to 10 a second and fall to 1.

    make bench BENCH=autoscaling [ARGS="--start-s 300"]

Everything but the stack's own object for KEDA is a stand-in: replicas with a knee (tests/fakes/knee_engine.py) and the
arithmetic of Kubernetes' autoscaler and KEDA (tests/fakes/autoscaler.py), in a time of their own, so that no machine
blurs the figures. The fixed number is the smallest that keeps the bounds for 99 of 100 requests. Expected: its share
within 2 points for less replica-time, where a start takes a tenth of the rise. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from qwen_stack.specs import autoscaling
from tests.fakes.autoscaler import Autoscaler
from tests.support.autoscaled import Load, Service
from tests.support.stacks import lab_model

FIRST_S, TOKEN_S = 2.0, 0.075
"""Bounds that a request should keep: its first token, and its time for each token."""
TARGET = 12
"""Requests in flight that a replica is meant for; its knee is at 16."""


def spec(start_s: int) -> Any:
    """The `spec` that the stack writes for the lab's model."""
    model = lab_model({"target": TARGET}, startupSeconds=start_s)
    return autoscaling.scaled_object(model, "http://prometheus:9090")["spec"]


def followed(start_s: int, load: Load) -> Service:
    service = Service(replicas=2, start_s=start_s, scaler=Autoscaler(spec(start_s)))
    service.run(load)
    return service


def fixed(load: Load) -> Service:
    """The fewest replicas that keep the bounds for 99 of 100 requests."""
    replicas, share = 0, 0.0
    while share < 0.99:
        replicas += 1
        service = Service(replicas=replicas, start_s=0)
        service.run(load)
        share = service.share_within(FIRST_S, TOKEN_S)
    return service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start-s", type=int, nargs="+", default=[30, 90, 300])
    parser.add_argument("--phase-s", type=int, default=900, help="each of five: low, rise, high, fall, low")
    options = parser.parse_args()
    load = Load(phase_s=options.phase_s)
    peak = fixed(load)
    rows = []
    for start_s in options.start_s:
        service = followed(start_s, load)
        rows.append(
            {
                "start_s": start_s,
                "within": round(service.share_within(FIRST_S, TOKEN_S), 4),
                "replica_time": round(service.replica_s / peak.replica_s, 3),
                "most_replicas": max(count for _, count in service.counts),
            }
        )
        print(f"start {start_s:4} s: {rows[-1]}")
    fixed_share = round(peak.share_within(FIRST_S, TOKEN_S), 4)
    result = {
        "benchmark": "autoscaling",
        "fixed_replicas": peak.replicas,
        "fixed_within": fixed_share,
        "followed": rows,
    }
    print(json.dumps({**result, "requests": len(peak.ended)}))


if __name__ == "__main__":
    main()
