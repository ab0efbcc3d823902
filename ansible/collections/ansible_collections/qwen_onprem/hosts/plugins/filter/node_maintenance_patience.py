"""Computes how long a drain may take: a disruption budget lets pods leave one by one only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Pod(NamedTuple):
    node: str
    end_s: int
    start_s: int


def drain_timeout_s(lines: Sequence[str], node: str, least_s: int) -> int:
    """Seconds for the slowest pod of the cluster to end and to start, for each pod of the node and one more.

    The one more has left the host that was drained before, and is still starting.

    lines:   answers to __node_maintenance_pods of vars/main.yml
    least_s: the result where the pods need less
    """
    pods = [_pod(line) for line in lines]
    slowest_s = max((pod.end_s + pod.start_s for pod in pods), default=0)
    waiting = sum(pod.node == node and pod.start_s > 0 for pod in pods)
    return max(least_s, slowest_s * (waiting + 1))


def _pod(line: str) -> Pod:
    """Node, grace period and startup probes (failures x period, in seconds) of a line such as "dgx1 310 65x30 x"."""
    node, grace, *probes = line.split(" ")
    starts = [
        int(failures) * int(period) for failures, _, period in (probe.partition("x") for probe in probes) if failures
    ]
    return Pod(node, int(grace or 0), max(starts, default=0))


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"node_maintenance_drain_timeout_s": drain_timeout_s}
