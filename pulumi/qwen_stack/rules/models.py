"""The rules for one entry of `models`: its sizes and its engine's arguments, with those of its plan and rollout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from qwen_runtime.engine.registry import servers
from qwen_runtime.engine.spec import EngineSpec
from qwen_runtime.errors import UsageError
from qwen_runtime.serve import planned

from qwen_stack import rollouts
from qwen_stack.rules import autoscaling, plans
from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Model
from qwen_stack.specs.manifest import VISIBLE_DEVICES

_UNIT_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity_bytes(quantity: str) -> int:
    """Bytes of a Kubernetes memory quantity with a binary suffix."""
    return int(quantity[:-2]) * _UNIT_BYTES[quantity[-2:]]


def memory_request_is_within_the_limit(model: Model) -> Iterator[Problem]:
    if quantity_bytes(model.memory_request) > quantity_bytes(model.memory_limit):
        yield Problem(
            ("memoryRequest", "memoryLimit"),
            f"{model.memory_request} requested, {model.memory_limit} allowed",
            "a request no larger than the limit",
            "raise memoryLimit or lower memoryRequest",
        )


def shared_memory_is_below_the_limit(model: Model) -> Iterator[Problem]:
    if quantity_bytes(model.shared_memory) >= quantity_bytes(model.memory_limit):
        yield Problem(
            ("sharedMemory", "memoryLimit"),
            f"{model.shared_memory} shared of {model.memory_limit}",
            "shared memory below the limit, because what is written to /dev/shm counts against it",
            "raise memoryLimit or lower sharedMemory",
        )


def pods_of_a_replica_are_alike(model: Model) -> Iterator[Problem]:
    if model.gpus_per_replica % model.nodes_per_replica:
        yield Problem(
            ("gpusPerReplica", "nodesPerReplica"),
            f"{model.gpus_per_replica} GPUs over {model.nodes_per_replica} nodes",
            "as many GPUs on each node of a replica",
            "change one of them, or take both from a plan",
        )


def rdma_is_for_replicas_over_hosts(model: Model) -> Iterator[Problem]:
    if model.rdma_resource and model.nodes_per_replica == 1:
        yield Problem(
            ("rdmaResource", "nodesPerReplica"),
            f"{model.rdma_resource} for a replica on one host",
            "a replica over several hosts: GPUs of one host talk over NVLink",
            "remove rdmaResource",
        )


def env_leaves_the_choice_of_gpus_alone(model: Model) -> Iterator[Problem]:
    if VISIBLE_DEVICES in model.env:
        yield Problem(
            (f"env.{VISIBLE_DEVICES}",),
            model.env[VISIBLE_DEVICES],
            "none: the device plugin names the GPUs that a pod holds, and this would give it those of other pods",
            "remove it, and say with gpusPerReplica how many there are",
        )


def extra_args_leave_own_flags_alone(model: Model) -> Iterator[Problem]:
    flags = servers()[model.engine].own_flags()
    for arg in model.extra_args:
        if arg.partition("=")[0].replace("_", "-") in flags:
            yield Problem(
                ("extraArgs",),
                arg,
                f"none of {', '.join(sorted(flags))}, which are set from other keys",
                "remove the flag and set the key of the same meaning",
            )


def engine_spec(model: Model) -> EngineSpec:
    """The part of the engine's specification that decides how the model is divided; `serve` makes the rest."""
    arguments = tuple(model.plan.document.launch.get(model.engine, ())) if model.plan else ()
    dtype = model.dtype or "auto"
    return EngineSpec(Path(model.name), model.served_name, 1, model.max_model_len, dtype, arguments, model.extra_args)


def the_engine_uses_every_gpu(model: Model) -> Iterator[Problem]:
    """Asks the engine's own module over how many GPUs its arguments divide a model, and if it can use several hosts."""
    if model.plan and model.engine != model.plan.document.engine:
        return  # another engine's layout: plans.py refuses it
    engine, spec = servers()[model.engine], engine_spec(model)
    try:
        if model.nodes_per_replica > 1:
            planned.rank_of_node(model.engine, model.nodes_per_replica, 0, "leader", rendezvous_port=1, group_port=2)
        sizes = engine.parallel_sizes(spec)
        planned_sizes = engine.parallel_sizes(replace(spec, extra=()))
    except UsageError as error:
        yield Problem(("engine", "extraArgs"), error.found, error.needed, error.remedy)
        return
    if model.plan and sizes != planned_sizes:
        yield Problem(
            ("extraArgs", "plan"),
            f"parallel sizes {_written(sizes)} and a plan for {_written(planned_sizes)}",
            "the division for which memory was planned",
            "remove these flags, or plan anew",
        )
    elif (gpus := math.prod(sizes)) != model.gpus_per_replica:
        yield Problem(
            ("gpusPerReplica", "extraArgs"),
            f"{model.gpus_per_replica} GPUs, and arguments with which engine {model.engine} uses {gpus}",
            "arguments that use the GPUs of a replica",
            "correct the parallel sizes in extraArgs or gpusPerReplica, or take both from a plan",
        )


def _written(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


# Keys in their problems are those of an entry.
RULES: tuple[Callable[[Model], Iterator[Problem]], ...] = (
    memory_request_is_within_the_limit,
    shared_memory_is_below_the_limit,
    pods_of_a_replica_are_alike,
    rdma_is_for_replicas_over_hosts,
    env_leaves_the_choice_of_gpus_alone,
    extra_args_leave_own_flags_alone,
    the_engine_uses_every_gpu,
    plans.the_plan_is_for_this,
    *autoscaling.RULES,
    rollouts.surge_has_gpus,
    rollouts.an_outage_is_accepted_by_name,
)
