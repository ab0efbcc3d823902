"""The account of every key: what it may send now, what waits, and what the last minute held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qwen_runtime.limits.lease import Ask, Lease, Refusal, Usage
from qwen_runtime.limits.line import Line
from qwen_runtime.limits.places import Places
from qwen_runtime.limits.rules import Limit, Rules
from qwen_runtime.limits.window import Window

BYTES_PER_TOKEN = 3
"""Bytes of a body that are reserved as one token. English and code have about four; the usage corrects the rest."""
GONE_S = 15.0
"""Silence after which a gateway is taken for dead. It asks once a second."""
LONGEST_LEASE_S = 3600.0
"""Age at which a request is taken for ended, if the message of its end was lost."""
ENDED_KEPT_S = 60.0
"""Time for which ended requests are known, should the message of an end overtake the request."""
BUSY_RETRY_S = 5.0
"""Time after which a client may come again that found no place, or whose key had all that it may have in flight."""


@dataclass(frozen=True, slots=True)
class Left:
    """One limit as a client sees it: its size, what is left, and the seconds until all of it is free again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(slots=True)
class Account:
    """The amounts that a key spent in the last minute."""

    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)


class Ledger:
    """Admits requests and settles them. Times are seconds of any clock that never goes back."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.places = Places()
        self.line = Line()
        self._accounts: dict[str, Account] = {}
        self._leases: dict[str, Lease] = {}
        self._ended: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._starts: dict[str, str] = {}

    def admit(self, ask: Ask, now_s: float) -> Lease | Refusal:
        """Takes the request on, to go at once or to wait, or says why not. A refused request counts against nothing."""
        self.heard(ask.gateway, now_s)
        account, limit = self._account(ask.key), self.rules.of(ask.key)
        refusal = self._above_a_rate(ask, account, limit, now_s)
        if refusal is not None:
            return refusal
        reserved = account.tokens.spend(now_s, self.reservation(ask))
        lease = Lease(ask, limit.klass, now_s, account.requests.spend(now_s, 1), reserved)
        full = self.places.free_for(lease, self.rules)
        if full and self.line.waiting[ask.key] >= self.rules.queue_requests:
            self._refund(lease)
            return _no_place(full, limit)
        self._leases[ask.id] = lease
        if full or self.line.owed(lease, self._may_take):
            self.line.join(lease)
        else:
            self._start(lease, now_s)
        if ask.id in self._ended:
            self.settle(ask.id, Usage(), now_s)
        return lease

    def advance(self, now_s: float) -> list[Ask]:
        """Requests whose turn has come. They are in flight now."""
        started = []
        while lease := self.line.next(self._may_go, self._may_take, self.places.in_flight.__getitem__):
            self.line.leave(lease)
            self._start(lease, now_s)
            started.append(lease.ask)
        return started

    def give_up(self, request: str) -> Refusal | None:
        """Takes a waiting request out of the line, as if it had never come; None if it does not wait."""
        lease = self._leases.get(request)
        if lease is None or not lease.waits:
            return None
        del self._leases[request]
        self.line.leave(lease)
        self._refund(lease)
        return _no_place(self.places.free_for(lease, self.rules) or "places", self.rules.of(lease.ask.key))

    def find(self, request: str) -> Lease | None:
        """The request, if it waits or is in flight."""
        return self._leases.get(request)

    def settle(self, request: str, usage: Usage, now_s: float) -> None:
        """Ends a request and replaces its reservation by what it used."""
        self._ended[request] = now_s
        if self.give_up(request):
            return
        lease = self._leases.pop(request, None)
        if lease is not None:
            self.places.give_back(lease)
            self._account(lease.ask.key).tokens.correct(lease.tokens, usage.prompt + usage.generated)

    def heard(self, gateway: str, now_s: float) -> None:
        """A gateway lives: `host`, or `host:start` which also tells that what ran on the host before has ended."""
        host, _, start = gateway.partition(":")
        self._heard[host] = now_s
        if start and self._starts.setdefault(host, start) != start:
            self._starts[host] = start
            for lease in list(self._leases.values()):
                if lease.ask.host == host and lease.ask.gateway != gateway:
                    self._lose(lease, now_s)

    def sweep(self, now_s: float) -> None:
        """Ends what nobody will: the requests of gateways that are gone, and those that are too old."""
        for host in [host for host, heard_s in self._heard.items() if now_s - heard_s > GONE_S]:
            del self._heard[host]
        while self._ended and now_s - next(iter(self._ended.values())) > ENDED_KEPT_S:
            del self._ended[next(iter(self._ended))]
        for lease in list(self._leases.values()):
            if lease.ask.host not in self._heard or now_s - lease.since_s > LONGEST_LEASE_S:
                self._lose(lease, now_s)

    def reservation(self, ask: Ask) -> int:
        answer = self.rules.answer_tokens if ask.answer_tokens is None else ask.answer_tokens
        return -(-ask.body_bytes // BYTES_PER_TOKEN) + answer

    def left(self, key: str, now_s: float) -> Iterator[tuple[str, Left]]:
        """State of the limits per minute that the key has."""
        limit, account = self.rules.of(key), self._account(key)
        for name, window, most in (
            ("requests", account.requests, limit.requests_per_minute),
            ("tokens", account.tokens, limit.tokens_per_minute),
        ):
            if most is not None:
                yield name, Left(most, max(0, most - window.used(now_s)), window.empty_s(now_s))

    def _account(self, key: str) -> Account:
        return self._accounts.setdefault(key, Account())

    def _may_go(self, lease: Lease) -> bool:
        return self.places.free_for(lease, self.rules) is None

    def _may_take(self, lease: Lease) -> bool:
        return self.places.free_for(lease, self.rules, in_turn=True) is None

    def _start(self, lease: Lease, now_s: float) -> None:
        lease.waits = False
        lease.since_s = now_s
        self.places.take(lease)
        self.line.started(lease)

    def _refund(self, lease: Lease) -> None:
        account = self._account(lease.ask.key)
        account.requests.correct(lease.request, 0)
        account.tokens.correct(lease.tokens, 0)

    def _lose(self, lease: Lease, now_s: float) -> None:
        """Ends a request of which no message will come. Its reservation stays: nobody knows what it used."""
        self.settle(lease.ask.id, Usage(prompt=lease.tokens.amount), now_s)

    def _above_a_rate(self, ask: Ask, account: Account, limit: Limit, now_s: float) -> Refusal | None:
        for name, window, most, amount in (
            ("requests", account.requests, limit.requests_per_minute, 1),
            ("tokens", account.tokens, limit.tokens_per_minute, self.reservation(ask)),
        ):
            if most is None:
                continue
            if amount > most:
                text = f"The request needs {amount} tokens, and the key has {most} tokens per minute."
                return Refusal(name, f"{text} Send a shorter prompt or a lower max_tokens.", None)
            wait_s = window.wait_s(now_s, amount, most)
            if wait_s > 0:
                return Refusal(name, f"The key has {most} {name} per minute, and they are used up.", wait_s)
        return None


def _no_place(full: str, limit: Limit) -> Refusal:
    if full == "in_flight":
        text = f"The key has {limit.in_flight} requests in flight, which is its limit."
    else:
        text = "The model servers have no place free for this key."
    return Refusal(full, f"{text} Send the request again later.", BUSY_RETRY_S)
