"""Alerts of what serves and of the alerting itself whose rules wait long fire for real, with these waits cut short.

Alertmanager and the webhook are away in turn: what fired meanwhile is told when they are back. The last lines of the
output are a part of the table of docs/operate/alerts.md.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults import asking, breaking, breaking_serving, rules_of_prometheus
from tests.faults.alert_receiver import Kubectl
from tests.faults.gpus import Gpus, eight
from tests.faults.story import PATIENCE_S, Fault, Story, nothing
from tests.faults.telling import REFERENCE, story_cut_short
from tests.support.waiting import wait_until

USERS, WORDS = 24, 1000
BUSY = {"util_percent": 98}
ALERTMANAGER = "alertmanager"


def test_slow_alerts_of_serving_and_of_alerting_are_told(
    gpus: Gpus, kubectl: Kubectl, model: str, tmp_path: Path
) -> None:
    # The rule looks five minutes back, and sees this from its first measurement on.
    gpus(eight(BUSY))
    with story_cut_short(kubectl, tmp_path) as story:
        told_of_load(story, gpus, model)
        told_of_what_serves(story, kubectl)
        told_after_the_webhook_was_away(story, gpus)
        told_after_alertmanager_was_away(story, gpus, kubectl)
        print(f"\n{story.table()}")


def told_of_load(story: Story, gpus: Gpus, model: str) -> None:
    cause = f"a GPU at 98 %, and {USERS} users with long prompts"
    busy = Fault(cause, ("HighGPUUsage",), nothing, lambda: gpus(eight()))
    with asking.crowd(model, USERS, WORDS):
        story.breaks(busy)
        story.wait_fired(busy)
        story.mends(busy)
    story.wait_resolved(busy)


def told_of_what_serves(story: Story, kubectl: Kubectl) -> None:
    fewer = breaking.scaled(kubectl, "model-server", ("ReplicasMissing",), "one replica of two", to=1, back=2)
    alone = breaking.scaled(kubectl, "gateway", ("GatewaysMissing",), "one gateway of two", to=1, back=2)
    blind = breaking.scaled(kubectl, "repair", ("TargetsVanished",), "the repair controller gone", to=0, back=1)
    again = breaking_serving.starts_again_and_again(kubectl, REFERENCE)
    story.breaks(fewer, alone, blind, again)
    story.wait_fired(fewer, alone, blind, again)
    crowded = breaking_serving.crowded()
    story.breaks(crowded)
    story.wait_fired(crowded)
    story.mends(crowded, alone, blind, fewer)
    story.wait_resolved(crowded, alone, blind)


def told_after_the_webhook_was_away(story: Story, gpus: Gpus) -> None:
    """The next notifications fail. They come when the webhook takes them again, and so does what is told about that."""

    def refuse() -> None:
        story.receiver.away = True
        gpus(eight({"xid": 31}))

    def take() -> None:
        story.receiver.away = False

    refused = Fault("a webhook that answers 503", ("NotificationsFail", "GpuApplicationFault"), refuse, take)
    story.breaks(refused)
    wait_until(lambda: rules_of_prometheus.firing("NotificationsFail"), "the alert in Prometheus itself", PATIENCE_S)
    assert "GpuApplicationFault" not in story.receiver.fired
    take()
    story.wait_fired(refused)


def told_after_alertmanager_was_away(story: Story, gpus: Gpus, kubectl: Kubectl) -> None:
    """The watchdog falls silent, which is what its receiver calls for, and nothing that began meanwhile is lost."""

    def leave() -> None:
        breaking_serving.gone(kubectl, ALERTMANAGER)
        gpus(eight({"xid": 31}, {"xid": 79}))

    def come_back() -> None:
        breaking.scale(kubectl, ALERTMANAGER, 1)

    away = Fault("no Alertmanager", ("AlertsNotSent", "GpuNeedsReset"), leave, come_back)
    story.breaks(away)
    heard = story.receiver.watchdogs
    wait_until(lambda: rules_of_prometheus.firing("AlertsNotSent"), "the alert in Prometheus itself", PATIENCE_S)
    assert story.receiver.watchdogs == heard
    come_back()
    story.wait_fired(away)
    wait_until(lambda: story.receiver.watchdogs > heard, "the watchdog", PATIENCE_S)
