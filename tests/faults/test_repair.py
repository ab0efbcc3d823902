"""A fault of a simulated GPU is told at its node, and nothing is done while the controller observes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.faults.alert_receiver import Kubectl
from tests.support.waiting import wait_until

PATIENCE_S = 120


def told(kubectl: Kubectl, said: str) -> list[dict[str, Any]]:
    """Events of the controller with these words, newest last."""
    selected = ("--field-selector=involvedObject.kind=Node,reason=GpuFault", "--sort-by=.metadata.creationTimestamp")
    found = json.loads(kubectl("--namespace", "default", "get", "events", *selected, "--output=json"))["items"]
    return [event for event in found if said in event["message"]]


def test_an_xid_is_told_at_its_node_and_nothing_is_done(
    gpus: Callable[[list[dict[str, Any]]], None], kubectl: Kubectl
) -> None:
    said = "GPU 3, XID 79"
    before = len(told(kubectl, said))
    gpus([{}, {}, {}, {"xid": 79}, {}, {}, {}, {}])
    wait_until(lambda: len(told(kubectl, said)) > before, "the controller's event", PATIENCE_S)
    event = told(kubectl, said)[-1]
    node = json.loads(kubectl("get", f"node/{event['involvedObject']['name']}", "--output=json"))
    assert "Would drain the host" in event["message"]
    assert node["status"]["nodeInfo"]["bootID"] in event["message"]
    assert event["message"] in kubectl("describe", f"node/{node['metadata']['name']}")
    assert not node["spec"].get("unschedulable")
