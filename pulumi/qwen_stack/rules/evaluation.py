"""The rules for measurements that the cluster repeats by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings

SET = "pulumi config set --path"


def its_key_and_model_are_there(settings: Settings) -> Iterator[Problem]:
    evaluation = settings.evaluation
    if evaluation is None:
        return
    if evaluation.key not in settings.api_keys:
        yield Problem(
            ("evaluation.key",),
            f"{evaluation.key}, which is no key of apiKeys",
            f"one of {', '.join(sorted(settings.api_keys))}",
            f"{SET} evaluation.key <name>, or add a key for it",
        )
    served = {model.served_name: None for model in settings.models}
    if evaluation.model is not None and evaluation.model not in served:
        yield Problem(
            ("evaluation.model",),
            f"{evaluation.model}, which nothing serves",
            f"one of {', '.join(served)}",
            f"{SET} evaluation.model <name>",
        )


def it_gives_way_to_users(settings: Settings) -> Iterator[Problem]:
    limits, evaluation = settings.gateway.limits, settings.evaluation
    if limits is None or evaluation is None:
        return
    key = limits.keys.get(evaluation.key, limits.default)
    if key.service_class != "batch":
        path = f"gateway.limits.keys.{evaluation.key}.class"
        yield Problem(
            ("evaluation.key", path),
            f"a key of class {key.service_class}",
            "class batch: its requests wait until nobody else's do",
            f"{SET} {path} batch",
        )


def it_can_reach_the_gateway(settings: Settings) -> Iterator[Problem]:
    gateway, evaluation = settings.gateway, settings.evaluation
    if evaluation is None:
        return
    if gateway.client_ca_secret:
        yield Problem(
            ("evaluation", "gateway.clientCaSecret"),
            "a gateway that asks clients for a certificate",
            "one that asks for a key alone: the measuring pod has no certificate",
            "pulumi config rm --path evaluation, and measure from a machine that has one",
        )
    if bool(gateway.tls_secret) != bool(evaluation.endpoint and evaluation.endpoint.startswith("https://")):
        yield Problem(
            ("evaluation.endpoint", "gateway.tlsSecret"),
            f"endpoint {evaluation.endpoint} with {'a' if gateway.tls_secret else 'no'} certificate of the gateway",
            "an https:// address that the certificate names, where there is one, and none otherwise",
            f"{SET} evaluation.endpoint https://<name>, or pulumi config rm --path evaluation.endpoint",
        )


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    its_key_and_model_are_there,
    it_gives_way_to_users,
    it_can_reach_the_gateway,
)
