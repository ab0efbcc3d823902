"""The rules between configuration keys. Each returns the problems that it finds: keys, found, needed, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from settings import Model, Settings

SHORTEST_KEY = 20
# Flags that the program derives from the configuration; a second value would silently win or lose.
OWN_FLAGS = (
    *("--model", "--served-model-name", "--host", "--port", "--max-model-len", "--dtype"),
    *("--nnodes", "--node-rank", "--master-addr", "--master-port"),
)
_UNIT_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True, slots=True)
class Problem:
    keys: tuple[str, ...]
    found: str
    needed: str
    fix: str

    def __str__(self) -> str:
        return f"{', '.join(self.keys)}: found {self.found}; needed: {self.needed}; do: {self.fix}"


def quantity_bytes(quantity: str) -> int:
    """Bytes of a Kubernetes memory quantity with a binary suffix."""
    return int(quantity[:-2]) * _UNIT_BYTES[quantity[-2:]]


def images_come_from_the_registry(s: Settings) -> Iterator[Problem]:
    for name, image in s.images.model_dump(by_alias=True).items():
        if not image.startswith(s.registry + "/"):
            yield Problem(
                (f"images.{name}", "registry"),
                f"{image} with registry {s.registry}",
                "an image of the site's registry, because nodes fetch from nowhere else",
                f"pulumi config set --path images.{name} {s.registry}/<path>@sha256:<digest>",
            )


def images_are_pinned(s: Settings) -> Iterator[Problem]:
    for name, image in s.images.model_dump(by_alias=True).items():
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield Problem(
                (f"images.{name}",),
                image,
                "a digest or a fixed tag, so that a restart never changes what runs",
                f"pulumi config set --path images.{name} <reference>@sha256:<digest>",
            )


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


def extra_args_leave_own_flags_alone(m: Model) -> Iterator[Problem]:
    for arg in m.extra_args:
        if arg.split("=")[0] in OWN_FLAGS:
            yield Problem(
                ("extraArgs",),
                arg,
                f"none of {', '.join(OWN_FLAGS)}, which are set from other keys",
                "remove the flag and set the key of the same meaning",
            )


def _size(args: tuple[str, ...], flag: str) -> int:
    """The number given last to a parallelism flag, `--flag N` or `--flag=N`; 1 when absent, 0 when it is no number."""
    words = [word for arg in args for word in arg.split("=", 1)]
    if flag not in words:
        return 1
    value = words[len(words) - words[::-1].index(flag) :][:1]
    return int(value[0]) if value and value[0].isdigit() else 0


def parallelism_uses_every_gpu(m: Model) -> Iterator[Problem]:
    tensor, pipeline = (_size(m.extra_args, f"--{kind}-parallel-size") for kind in ("tensor", "pipeline"))
    if tensor * pipeline != m.gpus_per_replica:
        yield Problem(
            ("gpusPerReplica", "extraArgs"),
            f"{m.gpus_per_replica} GPUs, tensor parallel {tensor} x pipeline parallel {pipeline}",
            "tensor x pipeline parallel size equal to the GPUs of a replica",
            f"set --tensor-parallel-size {m.gpus_per_replica} in extraArgs, or change gpusPerReplica",
        )


def pods_of_a_replica_are_alike(m: Model) -> Iterator[Problem]:
    if m.gpus_per_replica % m.nodes_per_replica:
        yield Problem(
            ("gpusPerReplica", "nodesPerReplica"),
            f"{m.gpus_per_replica} GPUs over {m.nodes_per_replica} nodes",
            "as many GPUs on each node of a replica",
            "change one of them, or take both from a plan",
        )


def node_port_needs_its_type(s: Settings) -> Iterator[Problem]:
    service = s.gateway.service
    if service.node_port is not None and service.type != "NodePort":
        yield Problem(
            ("gateway.service.type", "gateway.service.nodePort"),
            f"type {service.type} with nodePort {service.node_port}",
            "a nodePort only with type NodePort",
            "set gateway.service.type to NodePort or remove gateway.service.nodePort",
        )


def node_ports_differ(s: Settings) -> Iterator[Problem]:
    ports = {
        "gateway.service.nodePort": s.gateway.service.node_port,
        "monitoring.prometheusNodePort": s.monitoring.prometheus_node_port,
        "monitoring.alertmanagerNodePort": s.monitoring.alertmanager_node_port,
    }
    given = {key: port for key, port in ports.items() if port is not None}
    for port in sorted({p for p in given.values() if list(given.values()).count(p) > 1}):
        keys = tuple(key for key, value in given.items() if value == port)
        yield Problem(keys, f"{port} in each", "a node port of its own for each service", "change all but one of them")


def upstreams_cover_a_rollout(s: Settings) -> Iterator[Problem]:
    largest = max(model.replicas for model in s.models)
    most = 2 * largest
    if most > s.gateway.max_upstreams:
        yield Problem(
            ("gateway.maxUpstreams", "model.replicas"),
            f"{s.gateway.max_upstreams} slots for {largest} replicas",
            f"at least {most}, because old and new replicas are listed together while a rollout drains",
            f"pulumi config set --path gateway.maxUpstreams {most}",
        )


def api_keys_are_strong(s: Settings) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, secret in s.api_keys.items():
        key, path = secret.get_secret_value(), f"apiKeys.{name}"
        fix = f'pulumi config set --secret --path {path} "$(openssl rand -hex 32)"'
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            yield Problem(
                (path,),
                f"a key of {len(key)} characters",
                f"at least {SHORTEST_KEY} printable ASCII characters without a space",
                fix,
            )
        if key in seen:
            yield Problem((f"apiKeys.{seen[key]}", path), "the same key twice", "a key of its own for each name", fix)
        seen[key] = name


def names_differ(s: Settings) -> Iterator[Problem]:
    """Names in the API, and those of the servers behind them."""
    for key, names in (
        ("servedName", [model.served_as for model in s.models]),
        ("variant", [variant.variant for variant in s.variants]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem((f"variants.{key}",), f"{name} more than once", "a name of its own for each", "change one")


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    images_come_from_the_registry,
    images_are_pinned,
    node_port_needs_its_type,
    node_ports_differ,
    upstreams_cover_a_rollout,
    names_differ,
    api_keys_are_strong,
)
# Of each model that is served; their keys are those below `model`, or below an entry of `variants`.
MODEL_RULES: tuple[Callable[[Model], Iterator[Problem]], ...] = (
    memory_fits,
    extra_args_leave_own_flags_alone,
    parallelism_uses_every_gpu,
    pods_of_a_replica_are_alike,
)


def problems(settings: Settings) -> list[Problem]:
    found = [problem for rule in RULES for problem in rule(settings)]
    for place, model in [("model", settings.model), *((f"variants[{i}]", v) for i, v in enumerate(settings.variants))]:
        for rule in MODEL_RULES:
            found += [replace(p, keys=tuple(f"{place}.{key}" for key in p.keys)) for p in rule(model)]
    return found
