"""The file of limits: what each key may use, and how many requests the model servers get at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError

CLASSES = ("interactive", "batch")
"""Classes of keys, in the order in which they are served."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Limits of one key; None is no limit."""

    in_flight: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    klass: str = CLASSES[0]


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that the file says. `requests_per_replica` bounds what is at a ready replica of a served model;
    `hosts` are the names in DNS whose addresses are these replicas. Of each key, `queue_requests` may wait for
    `queue_seconds`. `answer_tokens` are reserved for an answer that its request does not bound."""

    default: Limit
    keys: Mapping[str, Limit]
    requests_per_replica: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    queue_seconds: int = 0
    queue_requests: int = 0
    answer_tokens: int = 1024

    def of(self, key: str) -> Limit:
        return self.keys.get(key, self.default)


def read(path: Path) -> Rules:
    """Rules from the file. Raises UsageError, with the key that is wrong."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", "a readable file of limits in JSON", "deploy the stack again") from error
    return _Document(path).rules(document)


@dataclass(frozen=True, slots=True)
class _Document:
    path: Path

    def rules(self, document: Any) -> Rules:
        known = {one.name for one in fields(Rules)}
        self._only(document, known, "the file")
        numbers = {
            name: self._natural(document[name], name)
            for name in ("queue_seconds", "queue_requests", "answer_tokens")
            if name in document
        }
        keys = self._mapping(document.get("keys", {}), "keys")
        each = self._mapping(document.get("requests_per_replica", {}), "requests_per_replica")
        hosts = self._mapping(document.get("hosts", {}), "hosts")
        return Rules(
            default=self._limit(document.get("default", {}), "default"),
            keys={key: self._limit(limit, f"keys.{key}") for key, limit in keys.items()},
            requests_per_replica={
                name: self._positive(most, f"requests_per_replica.{name}") for name, most in each.items()
            },
            hosts={name: str(host) for name, host in hosts.items()},
            **numbers,
        )

    def _limit(self, limit: Any, where: str) -> Limit:
        self._only(limit, {one.name for one in fields(Limit)}, where)
        klass = limit.get("klass", CLASSES[0])
        if klass not in CLASSES:
            raise self._wrong(f"{where}.klass", klass, f"one of {', '.join(CLASSES)}")
        numbers = {
            name: self._positive(number, f"{where}.{name}")
            for name, number in limit.items()
            if name != "klass" and number is not None
        }
        return Limit(klass=klass, **numbers)

    def _only(self, part: Any, known: set[str], where: str) -> None:
        for name in self._mapping(part, where):
            if name not in known:
                raise self._wrong(f"{where}.{name}", "an unknown key", f"one of {', '.join(sorted(known))}")

    def _mapping(self, part: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(part, dict):
            raise self._wrong(where, part, "a mapping")
        return part

    def _positive(self, number: Any, where: str) -> int:
        if self._natural(number, where) == 0:
            raise self._wrong(where, number, "a whole number above 0")
        return int(number)

    def _natural(self, number: Any, where: str) -> int:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise self._wrong(where, number, "a whole number, 0 or above")
        return number

    def _wrong(self, where: str, found: object, needed: str) -> UsageError:
        return UsageError(f"{self.path}: {where} is {found!r}", needed, "correct the key and deploy the stack again")
