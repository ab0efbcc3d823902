"""Record of one alert: when it fires, whom it calls, and the words of its notification and of its runbook section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_stack.specs.manifest import Manifest

RUNBOOK = "docs/operate/runbook.md"


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    expression: str
    """PromQL over `serving:*` series, `up`, and Prometheus' and Alertmanager's own."""
    holds: str
    """Time for which the expression must be true, as Prometheus writes durations."""
    severity: Literal["critical", "warning", "none"]
    """Critical wakes somebody, warning waits for the day; none is the watchdog's."""
    owner: Literal["platform", "serving", "monitoring"]
    """People who answer: for hosts and GPUs, for models and gateway, or for what watches them."""
    summary: str
    impact: str
    """Effect that users notice."""
    found: str
    needed: str
    remedy: str
    look: str
    """Command or place that shows the cause, for the runbook."""

    def rule(self) -> Manifest:
        """Rule in Prometheus' form."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.holds,
            "labels": {"severity": self.severity, "owner": self.owner},
            "annotations": {
                "summary": self.summary,
                "impact": self.impact,
                "found": self.found,
                "needed": self.needed,
                "remedy": self.remedy,
                "runbook": f"{RUNBOOK}#{self.name.lower()}",
            },
        }
