"""A plan (`qwen-runtime plan --json`) in a stack: it fills in what `model` leaves out, and binds the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rules import OWN_FLAGS, Problem
from settings import Settings

FORMAT = 1
KEYS = {"fits", "reason", "model", "layout", "choices", "max_model_len", "launch", "environment", "kubernetes"}
Plan = Mapping[str, Any]


def read(path: Path) -> Plan:
    """ValueError says what is wrong with the file."""
    try:
        plan = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"which cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"which is not JSON ({error})") from error
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        raise ValueError(f"which is no plan of format {FORMAT}")
    if missing := KEYS - plan.keys():
        raise ValueError(f"which lacks {', '.join(sorted(missing))}")
    return plan


def complete(raw: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The stack's keys with the plan's values where `model` has none; its `env` and `extraArgs` add to the plan's."""
    model = raw.get("model", {})
    if not isinstance(model, Mapping):
        return dict(raw)  # refused with the rest
    asked = plan["kubernetes"]
    defaults = {
        "maxModelLen": plan["max_model_len"],
        "dtype": plan["choices"]["dtype"]["value"],
        "replicas": asked["replicas"],
        "gpusPerReplica": plan["layout"]["gpus_per_replica"],
        "nodesPerReplica": asked["pods_per_replica"],
        "cpuRequest": asked["cpu_request"],
        "memoryRequest": asked["memory_request"],
        "memoryLimit": asked["memory_limit"],
        "sharedMemory": asked["shared_memory"],
        "drainSeconds": asked["drain_seconds"],
        "startupSeconds": asked["startup_seconds"],
    }
    env, extra = model.get("env", {}), model.get("extraArgs", [])
    if isinstance(env, Mapping) and isinstance(extra, list):
        model = {
            **model,
            "env": {**plan["environment"], **env},
            "extraArgs": [*_foreign(plan["launch"].get("vllm", [])), *extra],
        }
    return {**raw, "model": {**defaults, **model}}


def _foreign(words: Iterable[str]) -> Iterator[str]:
    """Arguments without those that the program sets itself; each of these has a value."""
    words = iter(words)
    for word in words:
        if word in OWN_FLAGS:
            next(words)
        else:
            yield word


def problems(settings: Settings, plan: Plan) -> list[Problem]:
    """Where the stack contradicts its plan."""
    return [*_another_model(settings, plan), *_another_size(settings, plan)]


def _another_model(s: Settings, plan: Plan) -> Iterator[Problem]:
    planned = plan["model"]["name"]
    if s.model.name.lower() != planned.lower():
        yield Problem(("model.name", "plan"), f"{s.model.name} and a plan of {planned}", "the model of the plan",
                      "plan this model, or correct model.name")  # fmt: skip


def _another_size(s: Settings, plan: Plan) -> Iterator[Problem]:
    gpus, context = plan["layout"]["gpus_per_replica"], plan["max_model_len"]
    if s.model.gpus_per_replica != gpus:
        yield Problem(("model.gpusPerReplica", "plan"), f"{s.model.gpus_per_replica} and a plan for {gpus}",
                      "the GPUs of the planned layout", "remove model.gpusPerReplica, or plan anew")  # fmt: skip
    nodes = plan["kubernetes"]["pods_per_replica"]
    if s.model.nodes_per_replica != nodes:
        yield Problem(("model.nodesPerReplica", "plan"), f"{s.model.nodes_per_replica} and a plan for {nodes}",
                      "the hosts over which the plan divides a replica",
                      "remove model.nodesPerReplica, or plan anew")  # fmt: skip
    if s.model.max_model_len > context:
        yield Problem(("model.maxModelLen", "plan"), f"{s.model.max_model_len} and a plan for {context}",
                      f"at most {context} tokens, for which memory was planned",
                      "lower model.maxModelLen, or plan with a longer --context")  # fmt: skip
