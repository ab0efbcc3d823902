"""The reader of a written plan. Every program that uses a plan reads it here: serve, the stack and the roles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime.errors import PlanError, UsageError
from qwen_runtime.plan.document import FORMAT


@dataclass(frozen=True, slots=True)
class Pods:
    """Requests of one pod to Kubernetes, and the number of pods."""

    replicas: int
    gpu_resource: str | None
    """None where the plan is for hosts without GPUs."""
    gpus: int
    """GPUs of one pod."""
    cpu_request: str
    memory_request: str
    memory_limit: str
    shared_memory: str
    longest_answer_seconds: int
    """Time that the longest answer takes; 0 where no speed is predicted."""
    drain_seconds: int
    startup_seconds: int
    missing_gpus_for_surge: int
    """GPUs that one more replica needs beyond those of the planned hosts."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that the plan counts on."""

    gpu: str
    gpus_per_node: int
    nodes: int
    memory_bytes: int
    """Memory of each host."""
    disk_bytes: int
    """Disk of each host, for two revisions of the weights."""


@dataclass(frozen=True, slots=True)
class Document:
    """A plan that fits, as far as other programs need it."""

    model: str
    parameters: int
    max_model_len: int
    concurrency: int
    """Requests in flight at the whole site."""
    engine: str
    dtype: str
    quantization: str
    """Form of the weights."""
    gpus_per_replica: int
    nodes_per_replica: int
    launch: Mapping[str, list[str]]
    """Engine to its arguments; the layout and the pods are those of `engine`."""
    environment: Mapping[str, str]
    pods: Pods
    hosts: Hosts


def read(path: Path) -> Document:
    """The plan in a file. UsageError where it is none, PlanError with the plan's own message where it does not fit."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"plan {path} cannot be read ({error.strerror})", "a plan", "Correct the path.") from error
    return parse(text, str(path))


def parse(text: bytes, name: str) -> Document:
    """The plan in a text that was written with --json; messages call it `name`."""
    try:
        written = json.loads(text)
        if written["format"] != FORMAT:
            raise ValueError(f"format {written['format']!r}")
        if not written["fits"]:
            problem = written["problem"]
            raise PlanError(str(problem["found"]), str(problem["needed"]), str(problem["remedy"]))
        return _document(written)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{name} is not a plan of this version ({error!r})",
            f"a document of format {FORMAT}",
            f"Write it anew: qwen-runtime plan ... --json > {name}",
        ) from error


def _document(written: Mapping[str, Any]) -> Document:
    layout = written["layout"]
    return Document(
        model=str(written["model"]["name"]),
        parameters=int(written["parameters"]),
        max_model_len=int(written["max_model_len"]),
        concurrency=int(written["wishes"]["concurrency"]),
        engine=str(written["choices"]["engine"]["value"]),
        dtype=str(written["choices"]["dtype"]["value"]),
        quantization=str(written["choices"]["quantization"]["value"]),
        gpus_per_replica=int(layout["gpus_per_replica"]),
        nodes_per_replica=int(layout["nodes_per_replica"]),
        launch={str(engine): [str(word) for word in argv] for engine, argv in written["launch"].items()},
        environment={str(name): str(value) for name, value in written["environment"].items()},
        pods=_pods(written["kubernetes"]),
        hosts=_hosts(written["hardware"], written["host"]),
    )


def _pods(requests: Mapping[str, Any]) -> Pods:
    resource = requests["gpu_resource"]
    return Pods(
        replicas=int(requests["replicas"]),
        gpu_resource=None if resource is None else str(resource),
        gpus=int(requests["gpus"]),
        cpu_request=str(requests["cpu_request"]),
        memory_request=str(requests["memory_request"]),
        memory_limit=str(requests["memory_limit"]),
        shared_memory=str(requests["shared_memory"]),
        longest_answer_seconds=int(requests["longest_answer_seconds"]),
        drain_seconds=int(requests["drain_seconds"]),
        startup_seconds=int(requests["startup_seconds"]),
        missing_gpus_for_surge=int(requests["spare_gpus_for_max_surge"]),
    )


def _hosts(hardware: Mapping[str, Any], host: Mapping[str, Any]) -> Hosts:
    return Hosts(
        gpu=str(hardware["gpu"]),
        gpus_per_node=int(hardware["gpus_per_node"]),
        nodes=int(hardware["nodes"]),
        memory_bytes=int(host["memory_bytes"]),
        disk_bytes=int(host["disk_bytes"]),
    )
