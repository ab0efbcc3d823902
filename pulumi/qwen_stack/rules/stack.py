"""The rules between configuration keys. Each yields the problems that it finds: keys, found, needed, remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from qwen_stack import rollouts
from qwen_stack.rules import evaluation, limits, models, monitoring, repair, variants
from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import traces

SHORTEST_KEY = 20
HOST_NAME = "kubernetes.io/hostname"


def images_come_from_the_registry(settings: Settings) -> Iterator[Problem]:
    for name, image in settings.images.model_dump(by_alias=True, exclude_none=True).items():
        if not image.startswith(settings.registry + "/"):
            yield Problem(
                (f"images.{name}", "registry"),
                f"{image} with registry {settings.registry}",
                "an image of the site's registry, because nodes fetch from nowhere else",
                f"pulumi config set --path images.{name} {settings.registry}/<path>@sha256:<digest>",
            )


def images_are_pinned(settings: Settings) -> Iterator[Problem]:
    for name, image in settings.images.model_dump(by_alias=True, exclude_none=True).items():
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield Problem(
                (f"images.{name}",),
                image,
                "a digest or a fixed tag, so that a restart never changes what runs",
                f"pulumi config set --path images.{name} <reference>@sha256:<digest>",
            )


def logs_have_their_images(settings: Settings) -> Iterator[Problem]:
    images = settings.images
    named = {"victoriaLogs": images.victoria_logs, "vlagent": images.vlagent}
    for name in (name for name, image in named.items() if settings.logs and image is None):
        yield Problem(
            ("logs", f"images.{name}"),
            "none",
            "the image of VictoriaLogs, which keeps the lines, and that of vlagent, which collects them",
            f"pulumi config set --path images.{name} {settings.registry}/victoriametrics/<name>@sha256:<digest>",
        )


def spans_of_engines_go_to_one_place(settings: Settings) -> Iterator[Problem]:
    for position, model in enumerate(settings.models):
        flag = traces.flag(model)
        if settings.tracing and flag and any(arg.partition("=")[0] == flag for arg in model.extra_args):
            yield Problem(
                ("tracing.endpoint", f"models[{position}].extraArgs"),
                f"{flag} in extraArgs beside tracing",
                "one of them",
                f"remove {flag} from extraArgs, or run pulumi config rm tracing",
            )


def node_port_needs_its_type(settings: Settings) -> Iterator[Problem]:
    service = settings.gateway.service
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
            "the port on every node's address, which clients and the hosts' firewalls have to know",
            "pulumi config set --path gateway.service.nodePort <30000 to 32767>",
        )


def a_load_balancer_is_the_sites(settings: Settings) -> Iterator[Problem]:
    service = settings.gateway.service
    balanced = service.type == "LoadBalancer"
    if balanced and service.address is None:
        yield Problem(
            ("gateway.service.type", "gateway.service.address"),
            "type LoadBalancer without an address",
            "the address that the site's own load balancer gives this service, as nothing here provides one",
            "pulumi config set --path gateway.service.address <address>; or, behind the virtual address of the control "
            "plane, set gateway.service.type to NodePort (docs/operate/entry.md)",
        )
    if not balanced and (service.address is not None or service.annotations):
        yield Problem(
            ("gateway.service.type", "gateway.service.address", "gateway.service.annotations"),
            f"type {service.type} with what only a load balancer reads",
            "an address and annotations only with type LoadBalancer",
            "set gateway.service.type to LoadBalancer or remove both",
        )


def client_certificates_need_tls(settings: Settings) -> Iterator[Problem]:
    gateway = settings.gateway
    if gateway.client_ca_secret and not gateway.tls_secret:
        yield Problem(
            ("gateway.clientCaSecret", "gateway.tlsSecret"),
            "clientCaSecret without tlsSecret",
            "a certificate of the gateway, since clients show theirs over TLS alone",
            "pulumi config set --path gateway.tlsSecret <Secret of type kubernetes.io/tls>",
        )


def host_names_are_a_certificates(settings: Settings) -> Iterator[Problem]:
    gateway = settings.gateway
    if gateway.host_names and not gateway.tls_secret:
        yield Problem(
            ("gateway.hostNames", "gateway.tlsSecret"),
            "hostNames without tlsSecret",
            "names only where the gateway has a certificate, which is compared with them",
            "pulumi config set --path gateway.tlsSecret <Secret of type kubernetes.io/tls>",
        )


def node_ports_differ(settings: Settings) -> Iterator[Problem]:
    ports = {
        "gateway.service.nodePort": settings.gateway.service.node_port,
        "monitoring.prometheusNodePort": settings.monitoring.prometheus_node_port,
        "monitoring.alertmanagerNodePort": settings.monitoring.alertmanager_node_port,
    }
    given = {key: port for key, port in ports.items() if port is not None}
    for port in sorted({p for p in given.values() if list(given.values()).count(p) > 1}):
        keys = tuple(key for key, value in given.items() if value == port)
        yield Problem(keys, f"{port} in each", "a node port of its own for each service", "change all but one of them")


def the_gateway_is_as_patient_as_its_models(settings: Settings) -> Iterator[Problem]:
    """An answer ends with the less patient of the two: its model server, or the gateway that it goes through."""
    gateway = settings.gateway
    given = {
        "gateway.drainSeconds": gateway.drain_seconds,
        "gateway.timeouts.serverSeconds": gateway.timeouts.server_seconds,
    }
    for position, model in enumerate(settings.models):
        for key, seconds in given.items():
            if seconds < model.drain_seconds:
                yield Problem(
                    (key, f"models[{position}].drainSeconds"),
                    f"{seconds} s, and {model.drain_seconds} s for the answers of {model.served_name}",
                    "at least as long as the longest answer",
                    f"pulumi config rm --path {key}",
                )


def keys_are_strong(settings: Settings) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    keys = {f"apiKeys.{name}": secret for name, secret in settings.api_keys.items()}
    keys |= {f"engineKeys[{position}]": secret for position, secret in enumerate(settings.engine_keys)}
    for path, secret in keys.items():
        key = secret.get_secret_value()
        remedy = f"pulumi config set --secret --path '{path}' \"$(openssl rand -hex 32)\""
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            yield Problem(
                (path,),
                f"a key of {len(key)} characters",
                f"at least {SHORTEST_KEY} printable ASCII characters without a space",
                remedy,
            )
        if key in seen:
            yield Problem((seen[key], path), "the same key twice", "a key of its own for each", remedy)
        seen[key] = path


def servers_differ(settings: Settings) -> Iterator[Problem]:
    """Compares names of objects in the cluster: a group of pods has an object of its own."""
    groups = [
        f"{model.server}-{replica}"
        for model in settings.models
        if model.nodes_per_replica > 1
        for replica in range(model.replicas)
    ]
    names = [*(model.server for model in settings.models), *groups]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(("models.server",), f"{name} more than once", "a name of its own for each", "change one")


def pods_of_different_sizes_have_different_hosts(settings: Settings) -> Iterator[Problem]:
    """Small pods can spread so that no host has the free GPUs for a large one, although enough are free together. A
    single host that both entries name is no such case: GPUs that are free there are free together."""
    for position, model in enumerate(settings.models):
        for other in settings.models[:position]:
            if model.gpus_per_pod == other.gpus_per_pod or _apart(model.hosts, other.hosts):
                continue
            yield Problem(
                (f"models[{position}].hosts", f"models[{settings.models.index(other)}].hosts"),
                f"pods of {model.gpus_per_pod} and of {other.gpus_per_pod} GPUs that may share hosts",
                "hosts of their own, or the small pods may leave no host with enough free GPUs for a large one",
                "label the hosts (kubernetes_node_labels), and name the label in both entries with different values, "
                "such as hosts: {qwen-onprem/pool: large}",
            )


def gpus_stay_within_the_quota(settings: Settings) -> Iterator[Problem]:
    """Counts the replica that a surging rollout adds too: a quota would refuse it in the middle of the change."""
    if settings.gpu_quota is None:
        return
    needed = {
        f"models[{position}].replicas": model.gpus_per_replica
        * (model.replicas + (rollouts.choose(model).kind == rollouts.SURGE))
        for position, model in enumerate(settings.models)
    }
    if sum(needed.values()) > settings.gpu_quota:
        shares = " + ".join(map(str, needed.values()))
        yield Problem(
            ("gpuQuota", *needed),
            f"{settings.gpu_quota} GPUs, and models that take {shares} with the replicas that rollouts add",
            "a quota that the models stay within",
            f"pulumi config set gpuQuota {sum(needed.values())}, or fewer replicas",
        )


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether no host has the labels of both entries, or a single host has them."""
    both = one.keys() & other.keys()
    return any(one[key] != other[key] for key in both) or HOST_NAME in both


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    images_come_from_the_registry,
    images_are_pinned,
    logs_have_their_images,
    spans_of_engines_go_to_one_place,
    node_port_needs_its_type,
    a_load_balancer_is_the_sites,
    client_certificates_need_tls,
    host_names_are_a_certificates,
    node_ports_differ,
    servers_differ,
    *variants.RULES,
    pods_of_different_sizes_have_different_hosts,
    the_gateway_is_as_patient_as_its_models,
    gpus_stay_within_the_quota,
    keys_are_strong,
    *limits.RULES,
    *monitoring.RULES,
    *evaluation.RULES,
    *repair.RULES,
)


def problems(settings: Settings) -> list[Problem]:
    """Everything that is wrong, with keys as they stand in the stack's file."""
    broken = [problem for rule in RULES for problem in rule(settings)]
    for position, model in enumerate(settings.models):
        for rule in models.RULES:
            broken += [_in_entry(position, problem) for problem in rule(model)]
    return broken


def _in_entry(position: int, problem: Problem) -> Problem:
    return replace(problem, keys=tuple(f"models[{position}].{key}" for key in problem.keys))
