"""The rules of `gateway.limits`: names that exist, and numbers that the gateways can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings


def limits_name_known_keys(settings: Settings) -> Iterator[Problem]:
    limits = settings.gateway.limits
    for name in limits.keys if limits else ():
        if name not in settings.api_keys:
            yield Problem(
                (f"gateway.limits.keys.{name}",),
                f"limits of {name}, which is no key",
                f"one of apiKeys: {', '.join(sorted(settings.api_keys))}",
                f"pulumi config rm --path gateway.limits.keys.{name}, or add the key",
            )


def limits_name_served_models(settings: Settings) -> Iterator[Problem]:
    limits = settings.gateway.limits
    served = [model.served_name for model in settings.models]
    for name in limits.requests_per_replica if limits else ():
        if name not in served:
            yield Problem(
                (f"gateway.limits.requestsPerReplica.{name}",),
                f"{name}, which is not served",
                f"one of {', '.join(served)}",
                f"pulumi config rm --path 'gateway.limits.requestsPerReplica[\"{name}\"]', or correct the name",
            )


def limits_fit_the_gateways(settings: Settings) -> Iterator[Problem]:
    """Every request in flight holds a connection, and its body in memory."""
    gateway = settings.gateway
    most = gateway.replicas * gateway.max_connections
    for key, requests in _in_flight(settings):
        if requests > most:
            yield Problem(
                (f"gateway.limits.{key}", "gateway.maxConnections"),
                f"{requests} requests with {gateway.replicas} gateways of {gateway.max_connections} connections",
                f"at most {most}: each request holds a connection and the memory of its body",
                "lower the limit, or raise gateway.maxConnections, from which the gateways' memory follows",
            )


def limits_let_replicas_follow(settings: Settings) -> Iterator[Problem]:
    """The autoscaler sees what is at the gateways' way out, and nothing of what waits at the limiter."""
    limits = settings.gateway.limits
    for position, model in enumerate(settings.models):
        each = limits.requests_per_replica.get(model.served_name) if limits else None
        if each is not None and model.autoscaling and each <= model.autoscaling.target:
            yield Problem(
                (f"gateway.limits.requestsPerReplica.{model.served_name}", f"models[{position}].autoscaling.target"),
                f"{each} with a target of {model.autoscaling.target}",
                "more than the target: full replicas must show more work than their number is meant for",
                "raise requestsPerReplica or lower the target",
            )


def _in_flight(settings: Settings) -> Iterator[tuple[str, int]]:
    """Requests at once that the limits promise, by their keys."""
    limits = settings.gateway.limits
    if limits is None:
        return
    for name, limit in {"default": limits.default, **{f"keys.{key}": of for key, of in limits.keys.items()}}.items():
        if limit.in_flight is not None:
            yield f"{name}.inFlight", limit.in_flight
    for model in settings.models:
        if model.served_name in limits.requests_per_replica:
            each = limits.requests_per_replica[model.served_name]
            replicas = model.autoscaling.max if model.autoscaling else model.replicas
            yield f"requestsPerReplica.{model.served_name}", each * replicas


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    limits_name_known_keys,
    limits_name_served_models,
    limits_fit_the_gateways,
    limits_let_replicas_follow,
)
