"""The account of every key: what is in flight, and what the last minute held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qwen_runtime.limits.rules import Limit, Rules
from qwen_runtime.limits.window import Spent, Window

BYTES_PER_TOKEN = 3
"""Bytes of a body that are reserved as one token. English and code have about four; the usage corrects the rest."""
GONE_S = 15.0
"""Silence after which a gateway is taken for dead. It asks once a second."""
LONGEST_LEASE_S = 3600.0
"""Age at which a request is taken for ended, if the message of its end was lost."""
ENDED_KEPT_S = 60.0
"""Time for which ended requests are known, should the message of an end overtake the request."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that a gateway wants to forward. `answer_tokens` is None where it does not bound its answer."""

    id: str
    gateway: str
    key: str
    model: str
    body_bytes: int = 0
    answer_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. The cached ones are part of the prompt."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """One limit as a client sees it: its size, what is left, and the seconds until all of it is free again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is above a limit. `retry_s` is None where waiting does not help."""

    reason: str
    message: str
    retry_s: float | None


@dataclass(slots=True)
class Account:
    in_flight: int = 0
    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)


@dataclass(slots=True)
class Lease:
    """A request that is in flight, and what was reserved for it."""

    ask: Ask
    since_s: float
    reserved: Spent


class Ledger:
    """Admits requests and settles them. Times are seconds of any clock that never goes back."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.accounts: dict[str, Account] = {}
        self._leases: dict[str, Lease] = {}
        self._ended: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._starts: dict[str, str] = {}

    def admit(self, ask: Ask, now_s: float) -> Refusal | None:
        """Takes the request on, or says why not. A refused request counts against nothing."""
        self.heard(ask.gateway, now_s)
        account = self.account(ask.key)
        refusal = self._refusal(ask, account, self.rules.of(ask.key), now_s)
        if refusal is None:
            account.requests.spend(now_s, 1)
            reserved = account.tokens.spend(now_s, self.reservation(ask))
            account.in_flight += 1
            self._leases[ask.id] = Lease(ask, now_s, reserved)
            if ask.id in self._ended:
                self.settle(ask.id, Usage(), now_s)
        return refusal

    def settle(self, request: str, usage: Usage, now_s: float) -> Ask | None:
        """Ends a request and replaces its reservation by what it used; None if it is not in flight."""
        self._ended[request] = now_s
        lease = self._leases.pop(request, None)
        if lease is None:
            return None
        account = self.account(lease.ask.key)
        account.in_flight -= 1
        account.tokens.correct(lease.reserved, usage.prompt + usage.generated)
        return lease.ask

    def heard(self, gateway: str, now_s: float) -> None:
        """A gateway lives: `host`, or `host:start` which also tells that what ran on the host before has ended."""
        host, _, start = gateway.partition(":")
        self._heard[host] = now_s
        if start and self._starts.setdefault(host, start) != start:
            self._starts[host] = start
            for lease in [lease for lease in self._leases.values() if _host(lease) == host]:
                if lease.ask.gateway != gateway:
                    self._lose(lease, now_s)

    def sweep(self, now_s: float) -> None:
        """Ends what nobody will: the requests of gateways that are gone, and those that are too old."""
        for gateway in [name for name, heard_s in self._heard.items() if now_s - heard_s > GONE_S]:
            del self._heard[gateway]
        for request in [request for request, ended_s in self._ended.items() if now_s - ended_s > ENDED_KEPT_S]:
            del self._ended[request]
        for lease in list(self._leases.values()):
            if _host(lease) not in self._heard or now_s - lease.since_s > LONGEST_LEASE_S:
                self._lose(lease, now_s)

    def account(self, key: str) -> Account:
        return self.accounts.setdefault(key, Account())

    def reservation(self, ask: Ask) -> int:
        answer = self.rules.answer_tokens if ask.answer_tokens is None else ask.answer_tokens
        return -(-ask.body_bytes // BYTES_PER_TOKEN) + answer

    def left(self, key: str, now_s: float) -> Iterator[tuple[str, Left]]:
        """State of the limits per minute that the key has."""
        limit, account = self.rules.of(key), self.account(key)
        for name, window, most in (
            ("requests", account.requests, limit.requests_per_minute),
            ("tokens", account.tokens, limit.tokens_per_minute),
        ):
            if most is not None:
                yield name, Left(most, max(0, most - window.used(now_s)), window.wait_s(now_s, most, most))

    def _lose(self, lease: Lease, now_s: float) -> None:
        """Ends a request of which no message will come. Its reservation stays: nobody knows what it used."""
        self.settle(lease.ask.id, Usage(prompt=lease.reserved.amount), now_s)

    def _refusal(self, ask: Ask, account: Account, limit: Limit, now_s: float) -> Refusal | None:
        if limit.in_flight is not None and account.in_flight >= limit.in_flight:
            return Refusal("in_flight", f"The key has {limit.in_flight} requests in flight, which is its limit.", 1)
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


def _host(lease: Lease) -> str:
    return lease.ask.gateway.partition(":")[0]
