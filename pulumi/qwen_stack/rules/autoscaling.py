"""The rules for an entry whose number of replicas follows the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Model
from qwen_stack.specs.autoscaling import LONGEST_MEMORY_S


def a_plan_says_what_a_replica_carries(model: Model) -> Iterator[Problem]:
    if model.autoscaling and model.plan is None:
        yield Problem(
            ("autoscaling", "plan"),
            "autoscaling without a plan",
            "a plan, which says how many replicas have GPUs",
            "write one (qwen-runtime plan ... --json) and name it, or remove autoscaling",
        )


def bounds_are_in_order(model: Model) -> Iterator[Problem]:
    bounds = model.autoscaling
    if bounds and bounds.min > bounds.max:
        yield Problem(
            ("autoscaling.min", "autoscaling.max"),
            f"at least {bounds.min} and at most {bounds.max} replicas",
            "a min that is no larger than max",
            "lower min or raise max",
        )


def the_most_replicas_have_gpus(model: Model) -> Iterator[Problem]:
    if model.autoscaling and model.autoscaling.max > model.replicas:
        yield Problem(
            ("autoscaling.max", "replicas"),
            f"up to {model.autoscaling.max} replicas, and GPUs for {model.replicas}",
            "no more than the planned hosts have GPUs for, or the others stay Pending",
            "lower max, lower spareReplicas, or plan with more --nodes",
        )


def a_start_is_remembered_to_its_end(model: Model) -> Iterator[Problem]:
    if model.autoscaling and model.startup_seconds > LONGEST_MEMORY_S:
        yield Problem(
            ("autoscaling", "startupSeconds"),
            f"{model.startup_seconds} s to start",
            f"at most {LONGEST_MEMORY_S} s: Kubernetes' autoscaler remembers no longer, and would end what still loads",
            "lower startupSeconds, or remove autoscaling",
        )


RULES: tuple[Callable[[Model], Iterator[Problem]], ...] = (
    a_plan_says_what_a_replica_carries,
    bounds_are_in_order,
    the_most_replicas_have_gpus,
    a_start_is_remembered_to_its_end,
)
