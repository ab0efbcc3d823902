"""An interrupted run can be continued: the objects that it was creating are neither lost nor created twice."""

from typing import Any

from qwen_stack import adopt

URN = "urn:pulumi:any::qwen-onprem::kubernetes:core/v1:Service::gateway"


def state(*pending: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"resources": [{"urn": "stack"}], "pending_operations": list(pending)}}


def operation(kind: str, **metadata: str) -> dict[str, Any]:
    return {"type": kind, "resource": {"urn": URN, "inputs": {"metadata": metadata}}}


def test_an_object_that_was_being_created_is_held_by_namespace_and_name() -> None:
    result, adopted = adopt.adopt(state(operation("creating", namespace="qwen", name="gateway")))
    assert adopted == ["qwen/gateway"]
    assert result["deployment"]["resources"][1]["id"] == "qwen/gateway"
    assert "pending_operations" not in result["deployment"]


def test_the_namespace_itself_is_held_by_its_name() -> None:
    _, adopted = adopt.adopt(state(operation("creating", name="qwen")))
    assert adopted == ["qwen"]


def test_an_update_that_was_cut_off_needs_only_the_refresh() -> None:
    result, adopted = adopt.adopt(state(operation("updating", name="qwen")))
    assert adopted == []
    assert result["deployment"]["resources"] == [{"urn": "stack"}]


def test_nothing_pending_changes_nothing() -> None:
    whole = {"version": 3, "deployment": {"resources": [{"urn": "stack"}]}}
    assert adopt.adopt(whole) == (whole, [])
