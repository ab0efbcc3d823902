"""The limiter: what gateways ask and tell, as calls on the ledger and the bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.limits import answers, rules
from qwen_runtime.limits.bill import Bill
from qwen_runtime.limits.ledger import BYTES_PER_TOKEN, Ask, Ledger, Usage


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Limiter:
    """`clock_s` gives seconds and never goes back; `report` takes lines for the operator."""

    def __init__(self, file: Path, clock_s: Callable[[], float], report: Callable[[str], None]) -> None:
        self._file, self._clock_s, self._report = file, clock_s, report
        self._text = file.read_bytes() if file.exists() else b""
        self._bill = Bill()
        self.ledger = Ledger(rules.read(file))

    def ask(self, headers: Mapping[str, str]) -> Answer:
        """Answer to a gateway that wants to forward a request: 200, or 429 with what its client is told."""
        try:
            ask = _ask(headers)
        except (KeyError, ValueError):
            return Answer(400, {})
        now_s = self._clock_s()
        refusal = self.ledger.admit(ask, now_s)
        state = answers.headers(self.ledger.left(ask.key, now_s))
        if refusal is None:
            return Answer(200, state)
        self._bill.refused(ask.key, refusal.reason)
        headers = {**state, **answers.refusal_headers(refusal), "content-type": "application/json"}
        return Answer(429, headers, answers.refusal_body(refusal))

    def ended(self, record: Mapping[str, Any]) -> None:
        """Settles a request by the record of its end. One that this process never admitted is billed too: it may have
        begun before the process did."""
        usage, source = _usage(record)
        self.ledger.settle(str(record.get("id")), usage, self._clock_s())
        self._bill.used(str(record.get("key")), str(record.get("model")), usage, source)

    def heard(self, gateway: str) -> None:
        self.ledger.heard(gateway, self._clock_s())

    def metrics(self) -> str:
        return self._bill.text(self.ledger.accounts)

    def tick(self) -> None:
        """Ends what nobody will, and reads the file again if it changed. A wrong file changes nothing."""
        self.ledger.sweep(self._clock_s())
        text = self._file.read_bytes() if self._file.exists() else self._text
        if text == self._text:
            return
        self._text = text
        try:
            self.ledger.rules = rules.read(self._file)
            self._report(f"new limits from {self._file}")
        except UsageError as error:
            self._report(f"{error}\nThe limits of before stay.")


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
