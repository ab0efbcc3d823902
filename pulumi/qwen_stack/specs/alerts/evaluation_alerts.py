"""Rules and alerts about the monthly measurements, as their history tells them."""

from __future__ import annotations

from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.manifest import Manifest

LOST = {"answers": 0.05, "speed": 0.2}
"""Shares of the median before that may be lost: of answers what a promotion may lose, of speed more than it varies."""
OLDEST_DAYS = 35


def recording_rules() -> list[Manifest]:
    series = {
        "evaluation_worse:ratio": "qwen_evaluation_worse_ratio",
        "evaluation_age:seconds": "time() - qwen_evaluation_newest_timestamp_seconds",
    }
    return [
        {"record": f"serving:{name}", "expr": f"max without (instance, job) ({expression})"}
        for name, expression in series.items()
    ]


def alerts() -> list[Alert]:
    worse = " or ".join(f'serving:evaluation_worse:ratio{{of="{of}"}} > {lost}' for of, lost in LOST.items())
    return [
        Alert(
            name="EvaluationRegressed",
            expression=worse,
            holds="5m",
            severity="warning",
            owner="serving",
            summary="{{ $labels.kind }} of {{ $labels.model }}: {{ $labels.name }} became worse",
            impact="Answers are worse or slower than in the months before.",
            found="{{ $value | humanizePercentage }} less than the median of up to six measurements before",
            needed=f"at most {LOST['answers']:.0%} less of what judges answers, {LOST['speed']:.0%} less speed",
            remedy="Measure again by hand (`kubectl create job --from=cronjob/evaluation`). Where it stays, see what "
            "changed since: image, weights, driver, load; go back as docs/operate/release.md says.",
            look="`qwen-runtime history plot`, and docs/measure.md (Every month) for where the history is",
        ),
        Alert(
            name="EvaluationOld",
            expression=f"serving:evaluation_age:seconds > {OLDEST_DAYS * 86400}",
            holds="1h",
            severity="warning",
            owner="serving",
            summary="Nothing was measured for {{ $value | humanizeDuration }}",
            impact="A decline of answers or speed would go unnoticed.",
            found="no result that is younger",
            needed=f"one within {OLDEST_DAYS} days",
            remedy="See why the last job failed, mend that, and start one by hand (`kubectl create job "
            "--from=cronjob/evaluation`).",
            look="`kubectl -n <namespace> logs job/<name> -c tools`, then `-c bench` and `-c send`",
        ),
    ]
