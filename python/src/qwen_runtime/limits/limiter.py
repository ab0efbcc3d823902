"""The limiter: what gateways ask and tell, as calls on the ledger and the bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.limits import answers, rules
from qwen_runtime.limits.bill import Bill
from qwen_runtime.limits.lease import Ask, Refusal, Usage
from qwen_runtime.limits.ledger import BYTES_PER_TOKEN, Ledger


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


Reply = Callable[[Answer], None]
HOLD_S = 2.0
"""Longest time for which a question stays open. Then its gateway asks again: it would notice a limiter that hangs."""


@dataclass(slots=True)
class Waiting:
    """A request that waits for its turn, and the question of its gateway that is open, if one is."""

    ask: Ask
    since_s: float
    asked_s: float
    reply: Reply | None


class Limiter:
    """`clock_s` gives seconds and never goes back; `report` takes lines for the operator."""

    def __init__(self, file: Path, clock_s: Callable[[], float], report: Callable[[str], None]) -> None:
        self._file, self._clock_s, self._report = file, clock_s, report
        self._text = file.read_bytes() if file.exists() else b""
        self._bill = Bill()
        self._waiting: dict[str, Waiting] = {}
        self._ledger = Ledger(rules.read(file))

    @property
    def hosts(self) -> Mapping[str, str]:
        """Names in DNS whose addresses are the ready replicas, by served model."""
        return self._ledger.rules.hosts

    def ask(self, headers: Mapping[str, str], reply: Reply) -> str | None:
        """Answers a gateway that wants to forward a request: 200, 429 with what its client is told, or 202 if it still
        waits for its turn and the gateway is to ask again. Returns the name of the request if the answer comes later.
        """
        try:
            ask = _ask(headers)
        except (KeyError, ValueError):
            reply(Answer(400, {}))
            return None
        now_s = self._clock_s()
        outcome = self._ledger.find(ask.id) or self._ledger.admit(ask, now_s)
        if isinstance(outcome, Refusal):
            reply(self._refused(ask, outcome))
        elif outcome.waits:
            since_s = self._waiting[ask.id].since_s if ask.id in self._waiting else now_s
            self._waiting[ask.id] = Waiting(ask, since_s, now_s, reply)
            self._advance()
            return ask.id if ask.id in self._waiting else None
        else:
            reply(self._admitted(ask))
        return None

    def left(self, request: str) -> None:
        """Takes a request out of the line whose client has gone."""
        if self._waiting.pop(request, None):
            self._ledger.give_up(request)
            self._advance()

    def ended(self, record: Mapping[str, Any]) -> None:
        """Settles a request by the record of its end. One that this process never admitted is billed too: it may have
        begun before the process did."""
        usage, source = _usage(record)
        self._waiting.pop(str(record.get("id")), None)
        self._ledger.settle(str(record.get("id")), usage, self._clock_s())
        if record.get("limits") in ("asked", "away"):
            self._bill.used(str(record.get("key")), str(record.get("model")), usage, source)
        self._advance()

    def heard(self, gateway: str) -> None:
        self._ledger.heard(gateway, self._clock_s())

    def ready(self, model: str, replicas: int) -> None:
        """Takes the number of a model's ready replicas."""
        self._ledger.places.replicas[model] = replicas

    def metrics(self) -> str:
        return self._bill.text(self._ledger.places.in_flight, self._ledger.line.waiting)

    def tick(self) -> None:
        """Ends what nobody will, refuses what waited too long, and reads the file again if it changed."""
        now_s = self._clock_s()
        self._ledger.sweep(now_s)
        self._read_again()
        self._advance()
        for waiting in [waiting for waiting in self._waiting.values() if waiting.reply]:
            self._look_after(waiting, now_s)

    def _look_after(self, waiting: Waiting, now_s: float) -> None:
        """Refuses what waited too long, and lets a gateway ask again whose question is old."""
        assert waiting.reply
        request = waiting.ask.id
        if now_s - waiting.since_s >= self._ledger.rules.queue_seconds and (refusal := self._ledger.give_up(request)):
            del self._waiting[request]
            self._bill.waited(waiting.ask.key, now_s - waiting.since_s)
            waiting.reply(self._refused(waiting.ask, refusal))
        elif now_s - waiting.asked_s >= HOLD_S:
            waiting.reply(Answer(202, {}))
            waiting.reply = None

    def _read_again(self) -> None:
        """Takes new limits. A wrong file changes nothing."""
        text = self._file.read_bytes() if self._file.exists() else self._text
        if text == self._text:
            return
        self._text = text
        try:
            self._ledger.rules = rules.read(self._file)
            self._report(f"new limits from {self._file}")
        except UsageError as error:
            self._report(f"{error}\nThe limits of before stay.")

    def _advance(self) -> None:
        now_s = self._clock_s()
        for ask in self._ledger.advance(now_s):
            waiting = self._waiting.pop(ask.id, None)
            if waiting:
                self._bill.waited(ask.key, now_s - waiting.since_s)
            if waiting and waiting.reply:
                waiting.reply(self._admitted(ask))

    def _admitted(self, ask: Ask) -> Answer:
        return Answer(200, answers.headers(self._ledger.left(ask.key, self._clock_s())))

    def _refused(self, ask: Ask, refusal: Refusal) -> Answer:
        self._bill.refused(ask.key, refusal.reason)
        state = answers.headers(self._ledger.left(ask.key, self._clock_s()))
        headers = {**state, **answers.refusal_headers(refusal), "content-type": "application/json"}
        return Answer(429, headers, answers.refusal_body(refusal))


def _ask(headers: Mapping[str, str]) -> Ask:
    """Raises KeyError or ValueError for headers that no gateway of this version sends."""
    answer = headers.get("x-answer-tokens", "")
    return Ask(
        id=headers["x-request-id"],
        gateway=headers["x-gateway"],
        key=headers["x-key"],
        model=headers["x-model"],
        body_bytes=int(headers["x-body-bytes"]),
        answer_tokens=int(answer) if answer else None,
    )


def _usage(record: Mapping[str, Any]) -> tuple[Usage, str]:
    """Tokens of an ended request, and where the number comes from.

    A request that was cut has none from its engine. It is charged with the events that passed, and with its prompt even
    if nothing came back: a client that leaves early made the engine compute. A refused one is charged with nothing.
    """
    try:
        prompt, cached, generated = map(int, str(record.get("usage")).split())
        return Usage(prompt, cached, generated), "counted"
    except ValueError:
        pass
    if _number(record.get("status")) in (0, 200):
        prompt = -(-_number(record.get("bytes")) // BYTES_PER_TOKEN)
        return Usage(prompt=prompt, generated=_number(record.get("events"))), "estimated"
    return Usage(), "none"


def _number(value: Any) -> int:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return 0
