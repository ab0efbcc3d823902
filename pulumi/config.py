"""The one reader of pulumi.Config: the stack's keys become Settings, or one error that lists every problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pydantic import ValidationError

import plans
from rules import Problem, problems
from settings import Settings

PROJECT = "qwen-onprem"
PROGRAM = Path(__file__).parent
TEXT_KEYS = {"namespace", "clusterDomain", "registry", "gpuRuntimeClass", "plan"}


class ConfigError(pulumi.RunError):
    """The stack's configuration cannot be used; pulumi prints the message without a traceback."""

    def __init__(self, found: list[Problem]) -> None:
        self.problems = found
        lines = "\n".join(f"  {PROJECT}:{problem}" for problem in found)
        super().__init__(f"{len(found)} problem(s) in the stack's configuration:\n{lines}")


class PlanError(pulumi.RunError):
    """The stack's plan does not fit its hosts; the message is the plan's own."""


def load(config: pulumi.Config) -> Settings:
    """Read every known key once."""
    names = [field.alias or name for name, field in Settings.model_fields.items()]
    read = {name: config.get(name) if name in TEXT_KEYS else config.get_object(name) for name in names}
    raw = {name: value for name, value in read.items() if value is not None}
    if "apiKeys" in raw and not pulumi.runtime.is_config_secret(config.full_key("apiKeys")):
        raise ConfigError([_plain_text_keys()])
    return parse(raw)


def api_keys(settings: Settings) -> pulumi.Output[dict[str, str]]:
    """The keys as a secret again, so that state and output hold them encrypted."""
    return pulumi.Output.secret({name: key.get_secret_value() for name, key in settings.api_keys.items()})


def parse(raw: Mapping[str, Any]) -> Settings:
    """Settings from the stack's keys, completed from its plan. Raises ConfigError, or PlanError where the plan does
    not fit."""
    plan = _plan(raw)
    if plan:
        raw = plans.complete(raw, plan)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([_from_pydantic(dict(e), raw) for e in error.errors()]) from None
    broken = problems(settings) + (plans.problems(settings, plan) if plan else [])
    if broken:
        raise ConfigError(broken)
    return settings


def _plan(raw: Mapping[str, Any]) -> plans.Plan | None:
    if not isinstance(raw.get("plan"), str):
        return None  # a value of another type is refused with the rest
    try:
        plan = plans.read(PROGRAM / raw["plan"])
    except ValueError as error:
        needed = "a file written by `qwen-runtime plan ... --json`"
        raise ConfigError(
            [Problem(("plan",), f"{raw['plan']}, {error}", needed, "write it, or correct the path")]
        ) from error
    if not plan["fits"]:
        raise PlanError(str(plan["reason"]))
    return plan


def _plain_text_keys() -> Problem:
    return Problem(
        ("apiKeys",),
        "plain text in the stack's file",
        "encrypted keys",
        'pulumi config rm apiKeys; pulumi config set --secret --path apiKeys.<name> "$(openssl rand -hex 32)"',
    )


def _from_pydantic(error: dict[str, Any], raw: Mapping[str, Any]) -> Problem:
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    secret = error["loc"][0] == "apiKeys"
    flag = " --secret" if secret else ""
    if error["type"] == "extra_forbidden":
        known = "a key that the table in pulumi/README.md lists"
        return Problem((path,), "an unknown key", known, f"pulumi config rm --path {path}")
    if error["type"] == "missing":
        found = "nothing"
    else:
        found = "a value that is not shown" if secret else repr(_value_at(raw, error["loc"]))
    return Problem((path,), found, error["msg"], f"pulumi config set{flag} --path {path} <value>")


def _value_at(raw: Any, loc: tuple[str | int, ...]) -> Any:
    for part in loc:
        if part == "[key]":
            break
        raw = raw[part]
    return raw
