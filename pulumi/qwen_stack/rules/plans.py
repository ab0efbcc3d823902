"""The rules between an entry of `models` and its plan: what the entry says itself may not contradict the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from qwen_runtime.plan import Document

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Model
from qwen_stack.specs.manifest import GPU_RESOURCE

Rule: TypeAlias = Callable[[Model, Document], Iterator[Problem]]


def same_model(model: Model, plan: Document) -> Iterator[Problem]:
    if model.name.lower() != plan.model.lower():
        yield _contradiction(
            "name", model.name, plan.model, "the model of the plan", "plan this model, or correct name"
        )


def same_engine(model: Model, plan: Document) -> Iterator[Problem]:
    if model.engine != plan.engine:
        yield _contradiction(
            "engine",
            model.engine,
            plan.engine,
            "the engine for which layout and pods were planned",
            f"plan with --engine {model.engine}, or remove engine",
        )


def gpus_that_roles_install(_: Model, plan: Document) -> Iterator[Problem]:
    if plan.pods.gpu_resource != GPU_RESOURCE:
        yield Problem(
            ("plan",),
            f"a plan for {plan.hosts.gpu}, which asks for {plan.pods.gpu_resource or 'no GPU'}",
            f"a plan that asks for {GPU_RESOURCE}: no role installs another vendor's drivers",
            "plan with a GPU of NVIDIA's (qwen-runtime plan --list-gpus)",
        )


def context_within_the_plan(model: Model, plan: Document) -> Iterator[Problem]:
    if model.max_model_len > plan.max_model_len:
        yield _contradiction(
            "maxModelLen",
            model.max_model_len,
            plan.max_model_len,
            f"at most {plan.max_model_len} tokens, for which memory was planned",
            "lower maxModelLen, or plan with a longer --context",
        )


def same_dtype(model: Model, plan: Document) -> Iterator[Problem]:
    if model.dtype not in (None, plan.dtype):
        yield _contradiction("dtype", model.dtype, plan.dtype, "the dtype for which memory was planned", "remove dtype")


def same_gpus_per_replica(model: Model, plan: Document) -> Iterator[Problem]:
    if model.gpus_per_replica != plan.gpus_per_replica:
        yield _contradiction(
            "gpusPerReplica",
            model.gpus_per_replica,
            plan.gpus_per_replica,
            "the GPUs of the planned layout",
            "remove gpusPerReplica, or plan anew",
        )


def same_nodes_per_replica(model: Model, plan: Document) -> Iterator[Problem]:
    if model.nodes_per_replica != plan.nodes_per_replica:
        yield _contradiction(
            "nodesPerReplica",
            model.nodes_per_replica,
            plan.nodes_per_replica,
            "the hosts over which the plan divides a replica",
            "remove nodesPerReplica, or plan anew",
        )


def all_replicas_of_the_plan(model: Model, plan: Document) -> Iterator[Problem]:
    if model.replicas + model.spare_replicas != plan.pods.replicas:
        yield Problem(
            ("replicas", "spareReplicas", "plan"),
            f"{model.replicas} replicas and {model.spare_replicas} spare, and a plan for {plan.pods.replicas} on "
            f"{plan.hosts.nodes} hosts",
            "together those of the plan: fewer leave hosts idle, more have no GPUs",
            "remove replicas, plan for the hosts that there are (--nodes), or say in spareReplicas how many stay free",
        )


def time_for_the_longest_answer(model: Model, plan: Document) -> Iterator[Problem]:
    if model.drain_seconds < plan.pods.longest_answer_seconds:
        yield _contradiction(
            "drainSeconds",
            f"{model.drain_seconds} s",
            f"answers of up to {plan.pods.longest_answer_seconds} s",
            "the time of the longest answer, or each change cuts it off",
            "remove drainSeconds, or plan with a shorter --longest-answer",
        )


def _contradiction(key: str, value: object, planned: object, needed: str, remedy: str) -> Problem:
    return Problem((key, "plan"), f"{value} and a plan for {planned}", needed, remedy)


RULES: tuple[Rule, ...] = (
    same_model,
    same_engine,
    gpus_that_roles_install,
    context_within_the_plan,
    same_dtype,
    same_gpus_per_replica,
    same_nodes_per_replica,
    all_replicas_of_the_plan,
    time_for_the_longest_answer,
)


def the_plan_is_for_this(model: Model) -> Iterator[Problem]:
    if model.plan is not None:
        for rule in RULES:
            yield from rule(model, model.plan.document)
