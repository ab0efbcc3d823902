"""The rules between configuration keys. Each returns the problems that it finds: keys, found, needed, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from qwen_stack import model_rules
from qwen_stack.problem import Problem
from qwen_stack.settings import Settings

SHORTEST_KEY = 20
HOST_NAME = "kubernetes.io/hostname"


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


def node_port_needs_its_type(s: Settings) -> Iterator[Problem]:
    service = s.gateway.service
    if service.node_port is not None and service.type != "NodePort":
        yield Problem(
            ("gateway.service.type", "gateway.service.nodePort"),
            f"type {service.type} with nodePort {service.node_port}",
            "a nodePort only with type NodePort",
            "set gateway.service.type to NodePort or remove gateway.service.nodePort",
        )
    if service.node_port is None and service.type == "NodePort":
        yield Problem(
            ("gateway.service.type", "gateway.service.nodePort"),
            "type NodePort without a nodePort",
            "the port on every node's address that clients and the hosts' firewalls are told",
            "pulumi config set --path gateway.service.nodePort <30000 to 32767>",
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
            ("gateway.maxUpstreams", "models.replicas"),
            f"{s.gateway.max_upstreams} slots for {largest} replicas",
            f"at least {most}, because old and new replicas are listed together while a rollout drains",
            f"pulumi config set --path gateway.maxUpstreams {most}",
        )


def api_keys_are_strong(s: Settings) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, secret in s.api_keys.items():
        key, path = secret.get_secret_value(), f"apiKeys.{name}"
        remedy = f'pulumi config set --secret --path {path} "$(openssl rand -hex 32)"'
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            yield Problem(
                (path,),
                f"a key of {len(key)} characters",
                f"at least {SHORTEST_KEY} printable ASCII characters without a space",
                remedy,
            )
        if key in seen:
            yield Problem(
                (f"apiKeys.{seen[key]}", path), "the same key twice", "a key of its own for each name", remedy
            )
        seen[key] = name


def names_differ(s: Settings) -> Iterator[Problem]:
    """Names in the API, and those of objects in the cluster: a group of pods has an object of its own."""
    groups = [f"{m.server}-{replica}" for m in s.models if m.nodes_per_replica > 1 for replica in range(m.replicas)]
    for key, names in (
        ("servedName", [model.served_name for model in s.models]),
        ("server", [*(model.server for model in s.models), *groups]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem((f"models.{key}",), f"{name} more than once", "a name of its own for each", "change one")


def weights_are_shared_by_variants(s: Settings) -> Iterator[Problem]:
    for position, model in enumerate(s.models):
        shared = model.name in [before.name for before in s.models[:position]]
        key = f"models[{position}].variant"
        if model.variant is None and shared:
            yield Problem((key,), f"none, and {model.name} is served already", "a word for this way to serve it",
                          f"pulumi config set --path {key} <word>, or correct the name")  # fmt: skip
        if model.variant is not None and not shared:
            yield Problem((key,), f"{model.variant} of {model.name}, which no entry before it serves",
                          "an entry before it with the same weights", f"pulumi config rm --path {key}")  # fmt: skip


def pods_of_different_sizes_have_different_hosts(s: Settings) -> Iterator[Problem]:
    """Small pods end up anywhere, and then no host has the GPUs of a large one free, however many are free together.
    A single host that both name has no such remainder."""
    for position, model in enumerate(s.models):
        for other in s.models[:position]:
            if model.gpus_per_pod == other.gpus_per_pod or _apart(model.hosts, other.hosts):
                continue
            yield Problem(
                (f"models[{position}].hosts", f"models[{s.models.index(other)}].hosts"),
                f"pods of {model.gpus_per_pod} and of {other.gpus_per_pod} GPUs that may share hosts",
                "hosts of their own, or the small pods may leave no host with enough free GPUs for a large one",
                "label the hosts (kubernetes_node_labels), and name the label in both entries with different values, "
                "such as hosts: {qwen-onprem/pool: large}",
            )


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether no host has all labels of both, or one host alone has them."""
    both = one.keys() & other.keys()
    return any(one[key] != other[key] for key in both) or HOST_NAME in both


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    images_come_from_the_registry,
    images_are_pinned,
    node_port_needs_its_type,
    node_ports_differ,
    upstreams_cover_a_rollout,
    names_differ,
    weights_are_shared_by_variants,
    pods_of_different_sizes_have_different_hosts,
    api_keys_are_strong,
)


def problems(settings: Settings) -> list[Problem]:
    found = [problem for rule in RULES for problem in rule(settings)]
    for position, model in enumerate(settings.models):
        for rule in model_rules.RULES:
            found += [replace(p, keys=tuple(f"models[{position}].{key}" for key in p.keys)) for p in rule(model)]
    return found
