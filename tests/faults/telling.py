"""Stories that the lab's Prometheus and Alertmanager tell to a webhook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.cluster.ask import wait as wait_for_the_gateway
from lab.cluster.stack import NAMESPACE
from tests.faults import rules_of_prometheus
from tests.faults.alert_receiver import Kubectl, Receiver, told
from tests.faults.story import Story

REFERENCE = "model-server-reference"
REFERENCE_NAME = "smollm2-135m-instruct-reference"
ENGINES = {REFERENCE: 1, "model-server": 2}
"""Deployments of the lab's engines with their replicas."""


@contextmanager
def story_by_the_stacks_rules(kubectl: Kubectl, folder: Path) -> Iterator[Story]:
    """Story by the stack's own rules; afterwards everything runs again."""
    with told(kubectl, folder) as receiver:
        yield from _story(kubectl, receiver)


@contextmanager
def story_cut_short(kubectl: Kubectl, folder: Path) -> Iterator[Story]:
    """Story by rules that wait for a quarter of a minute. Prometheus begins without measurements, and ends so."""
    with (
        told(kubectl, folder) as receiver,
        rules_of_prometheus.changed(kubectl, folder, rules_of_prometheus.cut_short),
    ):
        rules_of_prometheus.wait_seen("count(up == 1) >= 15", 120)
        yield from _story(kubectl, receiver)


def _story(kubectl: Kubectl, receiver: Receiver) -> Iterator[Story]:
    story = Story(receiver, rules_of_prometheus.waits())
    with story.open:
        yield story
    for deployment in ENGINES:
        kubectl("--namespace", NAMESPACE, "rollout", "status", f"deployment/{deployment}", "--timeout=300s")
    wait_for_the_gateway()
