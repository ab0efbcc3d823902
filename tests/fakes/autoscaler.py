"""A stand-in for KEDA v2.21 with Kubernetes' autoscaler: the replicas that a ScaledObject leads to, step by step.

It knows external metrics of the kind AverageValue, `fallback`, and the parts of `behavior` that the stack uses, and
refuses any other. The rules are those of pkg/controller/podautoscaler of Kubernetes 1.34 and pkg/fallback of KEDA:

- A metric asks for `ceil(value / threshold)` replicas, and within 10 % of what runs for no change. The largest counts.
- Where a metric has no value, the others may add replicas and take none away; without any value nothing changes.
- KEDA answers for a metric that failed more often than `failureThreshold` in a row with what runs, or `replicas`.
- Fewer replicas: the largest number that was asked for within the window, and no faster than the policy, which counts
  from the number before those that came within its period.
- More replicas: at most twice as many, or four more, within 15 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PERIOD_S = 15
TOLERANCE = 0.1


@dataclass
class Autoscaler:
    spec: Mapping[str, Any]
    """The `spec` of a ScaledObject."""
    _failures: dict[str, int] = field(default_factory=dict)
    _asked: list[tuple[float, int]] = field(default_factory=list)
    _changed: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for trigger in self.spec["triggers"]:
            assert trigger["metricType"] == "AverageValue"
            assert trigger["metadata"]["ignoreNullValues"] == "false", "KEDA would take a missing series for 0"
        assert self.spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        [policy] = self._scale_down["policies"]
        assert policy["type"] == "Pods"
        assert self._scale_down["stabilizationWindowSeconds"] <= 3600, "the API refuses more"

    @property
    def _scale_down(self) -> Any:
        return self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]

    def step(self, now_s: float, values: Mapping[str, float | None], current: int) -> int:
        """Replicas from now on; `values` are those of the triggers by name, None for one that fails. To be called every
        15 s."""
        proposals = {t["name"]: self._proposal(t, values[t["name"]], current) for t in self.spec["triggers"]}
        known = [proposal for proposal in proposals.values() if proposal is not None]
        if not known:
            return current
        asked = max(known)
        if len(known) < len(proposals) and asked < current:
            return current
        least, most = self.spec["minReplicaCount"], self.spec["maxReplicaCount"]
        self._asked = [*self._asked, (now_s, asked)]
        wanted = asked if asked > current else min(current, self._largest_asked(now_s))
        if wanted > current:
            wanted = min(wanted, max(2 * current, current + 4))
        elif wanted < current:
            wanted = max(wanted, self._slowed(now_s, current))
        wanted = min(max(wanted, least), most)
        if wanted != current:
            self._changed.append((now_s, wanted - current))
        return wanted

    def lose(self, current: int) -> int:
        """Replicas while KEDA itself is gone: the autoscaler finds no metric, and changes nothing."""
        return current

    def _proposal(self, trigger: Any, value: float | None, current: int) -> int | None:
        name, threshold = trigger["name"], float(trigger["metadata"]["threshold"])
        self._failures[name] = 0 if value is not None else self._failures.get(name, 0) + 1
        if value is None:
            fallback = self.spec["fallback"]
            return max(current, fallback["replicas"]) if self._failures[name] > fallback["failureThreshold"] else None
        if current and abs(1 - value / (threshold * current)) <= TOLERANCE:
            return current
        return math.ceil(value / threshold)

    def _largest_asked(self, now_s: float) -> int:
        window_s = self._scale_down["stabilizationWindowSeconds"]
        self._asked = [(at_s, asked) for at_s, asked in self._asked if at_s > now_s - window_s]
        return max(asked for _, asked in self._asked)

    def _slowed(self, now_s: float, current: int) -> int:
        [policy] = self._scale_down["policies"]
        recent = sum(change for at_s, change in self._changed if at_s > now_s - policy["periodSeconds"])
        return current - recent - policy["value"]
