"""The rules for one entry of `models`: its sizes, its engine's arguments, its plan and its rollout."""

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
from qwen_stack.problem import Problem
from qwen_stack.settings import Model
from qwen_stack.specs.manifest import GPU_RESOURCE, VISIBLE_DEVICES

_UNIT_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity_bytes(quantity: str) -> int:
    """Bytes of a Kubernetes memory quantity with a binary suffix."""
    return int(quantity[:-2]) * _UNIT_BYTES[quantity[-2:]]


def memory_fits(m: Model) -> Iterator[Problem]:
    if quantity_bytes(m.memory_request) > quantity_bytes(m.memory_limit):
        yield Problem(
            ("memoryRequest", "memoryLimit"),
            f"{m.memory_request} requested, {m.memory_limit} allowed",
            "a request no larger than the limit",
            "raise memoryLimit or lower memoryRequest",
        )
    if quantity_bytes(m.shared_memory) >= quantity_bytes(m.memory_limit):
        yield Problem(
            ("sharedMemory", "memoryLimit"),
            f"{m.shared_memory} shared of {m.memory_limit}",
            "shared memory below the limit, because what is written to /dev/shm counts against it",
            "raise memoryLimit or lower sharedMemory",
        )


def pods_of_a_replica_are_alike(m: Model) -> Iterator[Problem]:
    if m.gpus_per_replica % m.nodes_per_replica:
        yield Problem(
            ("gpusPerReplica", "nodesPerReplica"),
            f"{m.gpus_per_replica} GPUs over {m.nodes_per_replica} nodes",
            "as many GPUs on each node of a replica",
            "change one of them, or take both from a plan",
        )


def rdma_is_for_replicas_over_hosts(m: Model) -> Iterator[Problem]:
    if m.rdma_resource and m.nodes_per_replica == 1:
        yield Problem(
            ("rdmaResource", "nodesPerReplica"),
            f"{m.rdma_resource} for a replica on one host",
            "a replica over several hosts: GPUs of one host talk over NVLink",
            "remove rdmaResource",
        )


def env_leaves_the_choice_of_gpus_alone(m: Model) -> Iterator[Problem]:
    if VISIBLE_DEVICES in m.env:
        yield Problem(
            (f"env.{VISIBLE_DEVICES}",),
            m.env[VISIBLE_DEVICES],
            "none: the device plugin names the GPUs that a pod holds, and this would give it those of other pods",
            "remove it, and say with gpusPerReplica how many there are",
        )


def extra_args_leave_own_flags_alone(m: Model) -> Iterator[Problem]:
    own = servers()[m.engine].own_flags()
    for arg in m.extra_args:
        if arg.partition("=")[0].replace("_", "-") in own:
            yield Problem(
                ("extraArgs",),
                arg,
                f"none of {', '.join(sorted(own))}, which are set from other keys",
                "remove the flag and set the key of the same meaning",
            )


def engine_spec(m: Model) -> EngineSpec:
    """What `serve` will ask of the engine, as far as the model's division is concerned."""
    arguments = tuple(m.plan.document.launch.get(m.engine, ())) if m.plan else ()
    return EngineSpec(Path(m.name), m.served_name, 1, m.max_model_len, m.dtype or "auto", arguments, m.extra_args)


def the_engine_uses_every_gpu(m: Model) -> Iterator[Problem]:
    """The engine's own module says over how many GPUs its arguments divide a model, and on how many hosts it can."""
    if m.plan and m.engine != m.plan.document.engine:
        return  # the layout is another engine's, which has a rule of its own
    engine, spec = servers()[m.engine], engine_spec(m)
    try:
        if m.nodes_per_replica > 1:
            planned.place(m.engine, m.nodes_per_replica, 0, "leader", rendezvous_port=1, group_port=2)
        sizes = engine.parallel_sizes(spec)
        asked = engine.parallel_sizes(replace(spec, extra=()))
    except UsageError as error:
        yield Problem(("engine", "extraArgs"), error.found, error.needed, error.remedy)
        return
    gpus = math.prod(sizes)
    if m.plan and sizes != asked:
        yield Problem(("extraArgs", "plan"), f"parallel sizes {_written(sizes)} and a plan for {_written(asked)}",
                      "the division for which memory was planned", "remove these flags, or plan anew")  # fmt: skip
    elif gpus != m.gpus_per_replica:
        yield Problem(
            ("gpusPerReplica", "extraArgs"),
            f"{m.gpus_per_replica} GPUs, and arguments with which engine {m.engine} uses {gpus}",
            "arguments that use the GPUs of a replica",
            "correct the parallel sizes in extraArgs or gpusPerReplica, or take both from a plan",
        )


def _written(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def the_plan_is_for_this(m: Model) -> Iterator[Problem]:
    """Contradictions between an entry and its plan."""
    if m.plan is None:
        return
    document = m.plan.document
    if m.name.lower() != document.model.lower():
        yield Problem(("name", "plan"), f"{m.name} and a plan of {document.model}", "the model of the plan",
                      "plan this model, or correct name")  # fmt: skip
    if m.engine != document.engine:
        yield Problem(("engine", "plan"), f"{m.engine} and a plan for {document.engine}",
                      "the engine for which layout and pods were planned",
                      f"plan with --engine {m.engine}, or remove engine")  # fmt: skip
    if document.pods.gpu_resource != GPU_RESOURCE:
        resource = document.pods.gpu_resource or "no GPU"
        yield Problem(("plan",), f"a plan for {document.hosts.gpu}, which asks for {resource}",
                      f"a plan that asks for {GPU_RESOURCE}: no role installs another vendor's drivers",
                      "plan with a GPU of NVIDIA's (qwen-runtime plan --list-gpus)")  # fmt: skip
    if m.max_model_len > document.max_model_len:
        yield Problem(("maxModelLen", "plan"), f"{m.max_model_len} and a plan for {document.max_model_len}",
                      f"at most {document.max_model_len} tokens, for which memory was planned",
                      "lower maxModelLen, or plan with a longer --context")  # fmt: skip
    if m.dtype not in (None, document.dtype):
        yield Problem(("dtype", "plan"), f"{m.dtype} and a plan for {document.dtype}",
                      "the dtype for which memory was planned", "remove dtype")  # fmt: skip


def the_plan_has_these_sizes(m: Model) -> Iterator[Problem]:
    if m.plan is None:
        return
    document, pods = m.plan.document, m.plan.document.pods
    if m.gpus_per_replica != document.gpus_per_replica:
        yield Problem(("gpusPerReplica", "plan"), f"{m.gpus_per_replica} and a plan for {document.gpus_per_replica}",
                      "the GPUs of the planned layout", "remove gpusPerReplica, or plan anew")  # fmt: skip
    if m.nodes_per_replica != document.nodes_per_replica:
        yield Problem(("nodesPerReplica", "plan"), f"{m.nodes_per_replica} and a plan for {document.nodes_per_replica}",
                      "the hosts over which the plan divides a replica",
                      "remove nodesPerReplica, or plan anew")  # fmt: skip
    if m.replicas + m.spare_replicas != pods.replicas:
        yield Problem(
            ("replicas", "spareReplicas", "plan"),
            f"{m.replicas} replicas and {m.spare_replicas} spare, and a plan for {pods.replicas} on "
            f"{document.hosts.nodes} hosts",
            "together those of the plan: fewer leave hosts idle, more have no GPUs",
            "remove replicas, plan for the hosts that there are (--nodes), or say in spareReplicas how many stay free",
        )


# Their keys are those of an entry.
RULES: tuple[Callable[[Model], Iterator[Problem]], ...] = (
    memory_fits,
    pods_of_a_replica_are_alike,
    rdma_is_for_replicas_over_hosts,
    env_leaves_the_choice_of_gpus_alone,
    extra_args_leave_own_flags_alone,
    the_engine_uses_every_gpu,
    the_plan_is_for_this,
    the_plan_has_these_sizes,
    rollouts.surge_has_gpus,
    rollouts.an_outage_is_accepted_by_name,
)
