"""The one reader of pulumi.Config: the stack's keys become Settings, or one error that lists every problem."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pydantic import ValidationError
from qwen_runtime import errors

from qwen_stack import entries, plans, signed_images
from qwen_stack.rules import stack as rules
from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import registry

PROJECT = "qwen-onprem"
PROGRAM = Path(__file__).resolve().parents[1]
TEXT_KEYS = {"namespace", "clusterDomain", "clusterUid", "registry", "gpuRuntimeClass"}
SECRETS = {
    "apiKeys": 'pulumi config set --secret --path apiKeys.<name> "$(openssl rand -hex 32)"',
    "engineKeys": """pulumi config set --secret --path 'engineKeys[0]' "$(openssl rand -hex 32)\"""",
    "registryLogin": "pulumi config set --path registryLogin.user <user>; "
    "pulumi config set --secret --path registryLogin.password",
    # Whoever has such an address can write to the receiver.
    "monitoring.alertWebhookUrl": "pulumi config set --secret --path monitoring.alertWebhookUrl <address>",
    "monitoring.remoteWriteUrl": "pulumi config set --secret --path monitoring.remoteWriteUrl <address>",
    "monitoring.watchdogUrl": "pulumi config set --secret --path monitoring.watchdogUrl <address>",
}
# Former keys of the whole stack: a file that still has one is refused, instead of being obeyed in part.
RETIRED_KEYS = ("model", "variants", "plan")
# A token is about four bytes of English or code. Of Chinese it is nearly two letters, and clients may write each one as
# six bytes. The rest is for quotes, escapes and the names of fields.
BYTES_PER_TOKEN = 16
LARGEST_BODY = 16_777_216


class ConfigError(pulumi.RunError):
    """The stack's configuration cannot be used; pulumi prints the message without a traceback."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        lines = "\n".join(f"  {PROJECT}:{problem}" for problem in problems)
        super().__init__(f"{len(problems)} problem(s) in the stack's configuration:\n{lines}")


class PlanError(pulumi.RunError):
    """The stack's plan does not fit its hosts; the message is the plan's own."""


def load(config: pulumi.Config) -> Settings:
    """Settings from pulumi's configuration; reads every known key once."""
    names = [field.alias or name for name, field in Settings.model_fields.items()]
    read = {name: config.get(name) if name in TEXT_KEYS else config.get_object(name) for name in names}
    raw = {name: value for name, value in read.items() if value is not None}
    if retired := [name for name in RETIRED_KEYS if config.get(name) is not None]:
        raise ConfigError([_retired(name) for name in retired])
    plain = [path for path in SECRETS if _holds(raw, path) and not _is_encrypted(config, path)]
    if plain:
        raise ConfigError([_plain_text(name) for name in plain])
    return parse(raw)


def _holds(raw: Mapping[str, Any], path: str) -> bool:
    name, _, key = path.partition(".")
    return name in raw and (not key or (isinstance(raw[name], Mapping) and key in raw[name]))


def _is_encrypted(config: pulumi.Config, path: str) -> bool:
    """Whether a value inside the key is encrypted; pulumi knows that of whole keys only."""
    return bool(pulumi.runtime.is_config_secret(config.full_key(path.partition(".")[0])))


def api_keys(settings: Settings) -> pulumi.Output[dict[str, str]]:
    """The keys, marked as a secret again so that state and output hold them encrypted."""
    return pulumi.Output.secret({name: key.get_secret_value() for name, key in settings.api_keys.items()})


def evaluation_key(settings: Settings, name: str) -> pulumi.Output[str]:
    """The key of one client in base64, marked as a secret again."""
    key = settings.api_keys[name].get_secret_value().encode()
    return pulumi.Output.secret(base64.b64encode(key).decode())


def engine_keys(settings: Settings) -> pulumi.Output[list[str]]:
    """The keys between gateways and engines, marked as a secret again."""
    return pulumi.Output.secret([key.get_secret_value() for key in settings.engine_keys])


def pull_secret(settings: Settings) -> pulumi.Output[str] | None:
    """The registry's login in Kubernetes' format, as a secret; None if the registry needs no login."""
    login = settings.registry_login
    if login is None:
        return None
    return pulumi.Output.secret(registry.encoded(settings.registry, login.user, login.password.get_secret_value()))


def provider() -> dict[str, str]:
    """Settings of pulumi's Kubernetes provider that choose a cluster, of those that the stack's file has."""
    settings = pulumi.Config("kubernetes")
    chosen = {name: settings.get(name) for name in ("kubeconfig", "context", "cluster")}
    return {name: value for name, value in chosen.items() if value}


def signed_digests(settings: Settings) -> list[str] | None:
    """Digests of the images that may start; None where all of the registry may. Raises ConfigError."""
    if settings.signed_images is None:
        return None
    digests, problems = signed_images.read(settings.signed_images, PROGRAM)
    if problems:
        raise ConfigError(problems)
    return digests


def parse(raw: Mapping[str, Any]) -> Settings:
    """Settings from the stack's keys, completed from plans.

    Raises ConfigError, or PlanError if a plan does not fit its hosts.
    """
    if isinstance(raw.get("models"), list):
        raw = {**raw, "models": [_completed(entry, position) for position, entry in enumerate(raw["models"])]}
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([_from_pydantic(dict(e), raw) for e in error.errors()]) from None
    settings = _with_time_for_an_answer(_with_room_for_a_context(settings))
    problems = rules.problems(settings)
    if problems:
        raise ConfigError(problems)
    return settings


def _with_room_for_a_context(settings: Settings) -> Settings:
    """Settings whose gateway accepts a body that fills the longest context, unless the stack has a limit of its own."""
    gateway = settings.gateway
    if "max_body_bytes" in gateway.model_fields_set:
        return settings
    wanted = BYTES_PER_TOKEN * max(model.max_model_len for model in settings.models)
    accepted = min(max(wanted, gateway.max_body_bytes), LARGEST_BODY)
    return settings.model_copy(update={"gateway": gateway.model_copy(update={"max_body_bytes": accepted})})


def _with_time_for_an_answer(settings: Settings) -> Settings:
    """Settings whose gateway waits for an answer as long as its model server does, unless the stack says otherwise."""
    gateway, timeouts = settings.gateway, settings.gateway.timeouts
    longest = max(model.drain_seconds for model in settings.models)
    if "server_seconds" not in timeouts.model_fields_set:
        timeouts = timeouts.model_copy(update={"server_seconds": max(longest, timeouts.server_seconds)})
    changes: dict[str, Any] = {"timeouts": timeouts}
    if "drain_seconds" not in gateway.model_fields_set:
        changes["drain_seconds"] = max(longest, gateway.drain_seconds)
    return settings.model_copy(update={"gateway": gateway.model_copy(update=changes)})


def _completed(entry: Any, position: int) -> Any:
    """Entry with the sizes of its plan. A value that is no mapping stays as it is, to be refused with the rest."""
    if not isinstance(entry, Mapping):
        return entry
    file = entry.get("plan")
    try:
        plan = plans.read(PROGRAM / file, file) if isinstance(file, str) else None
    except errors.PlanError as error:
        raise PlanError(str(error)) from error
    except errors.UsageError as error:
        raise ConfigError([Problem((f"models[{position}].plan",), error.found, error.needed, error.remedy)]) from error
    return entries.complete(entry, position, plan)


def _retired(name: str) -> Problem:
    return Problem(
        (name,),
        "a key that stacks no longer have",
        "an entry of models (pulumi/README.md)",
        f"move what it says to models, then: pulumi config rm {name}",
    )


def _plain_text(name: str) -> Problem:
    remedy = f"pulumi config rm --path {name}; {SECRETS[name]}"
    return Problem((name,), "plain text in the stack's file", "an encrypted value", remedy)


def _from_pydantic(error: dict[str, Any], raw: Mapping[str, Any]) -> Problem:
    path = _path(error["loc"])
    secret = any(f"{path}.".startswith(f"{secret}.") for secret in SECRETS)
    flag = " --secret" if secret else ""
    if error["type"] == "extra_forbidden":
        known = "a key that the table in pulumi/README.md lists"
        return Problem((path,), "an unknown key", known, f"pulumi config rm --path {path}")
    if error["type"] == "missing":
        found = "nothing"
    else:
        found = "a value that is not shown" if secret else repr(_value_at(raw, error["loc"]))
    return Problem((path,), found, error["msg"], f"pulumi config set{flag} --path {path} <value>")


def _path(loc: tuple[str | int, ...]) -> str:
    """The key in pulumi's notation: models[0].name."""
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]")
    return "".join(steps).removeprefix(".")


def _value_at(raw: Any, loc: tuple[str | int, ...]) -> Any:
    for part in loc:
        if part == "[key]":
            break
        raw = raw[part]
    return raw
