"""The order in which replicas change: a new one starts first (surge), or an old one ends first (in place)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Model

SURGE: Literal["surge"] = "surge"
IN_PLACE: Literal["in-place"] = "in-place"


@dataclass(frozen=True, slots=True)
class Rollout:
    kind: Literal["surge", "in-place"]
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


def choose(model: Model) -> Rollout:
    """The rollout that the stack asks for, or else the one for which there are GPUs."""
    if model.rollout is not None:
        return Rollout(model.rollout, "the stack asks for it")
    if model.nodes_per_replica > 1:
        return Rollout(IN_PLACE, "a group of pods over several hosts changes as a whole")
    if model.spare_replicas:
        return Rollout(SURGE, f"spareReplicas keeps the GPUs of {model.spare_replicas} more free")
    if model.plan is None and model.replicas == 1:
        return Rollout(SURGE, "in place a single replica means an outage, and no plan says that its hosts are full")
    if model.plan is None:
        return Rollout(IN_PLACE, "no plan says that one more replica has GPUs, and the others answer meanwhile")
    if model.plan.document.pods.missing_gpus_for_surge == 0:
        return Rollout(SURGE, "the planned hosts have the GPUs of one more replica")
    return Rollout(IN_PLACE, f"the planned replicas use all GPUs of {_hosts(model)}")


def _hosts(model: Model) -> str:
    assert model.plan is not None
    hosts = model.plan.document.hosts
    return f"{hosts.nodes} x {hosts.gpus_per_node} {hosts.gpu}"


def surge_has_gpus(model: Model) -> Iterator[Problem]:
    if model.rollout != SURGE:
        return
    if model.nodes_per_replica > 1:
        yield Problem(
            ("rollout", "nodesPerReplica"),
            f"surge for groups of {model.nodes_per_replica} pods",
            "in-place: a group keeps its names and changes as a whole",
            "remove rollout",
        )
    elif model.plan and not model.spare_replicas and (missing := model.plan.document.pods.missing_gpus_for_surge):
        yield Problem(
            ("rollout", "plan"),
            f"surge on {_hosts(model)}, whose GPUs are all in use",
            f"{missing} GPUs more for the new replica, without which it stays Pending",
            "set spareReplicas 1, plan with more --nodes, or set rollout in-place",
        )


def an_outage_is_accepted_by_name(model: Model) -> Iterator[Problem]:
    rollout = choose(model)
    if rollout.kind == IN_PLACE and model.fewest_replicas == 1 and not model.accept_outage:
        yield Problem(
            ("rollout", "acceptOutage"),
            f"one replica, changed in place ({rollout.reason})",
            "a second replica or room for one: each change of this model is an outage of up to "
            f"{model.startup_seconds} s",
            "plan with more --nodes, or set acceptOutage true where the site accepts that",
        )
