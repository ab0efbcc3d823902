"""One streamed request: when each of its tokens came, how it ended, and what the endpoint counted."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import aiohttp

from qwen_runtime.endpoint.address import CONNECT_S, Endpoint

LINE_BYTES = 1 << 20
"""The longest line of a stream: an event with a whole file in it is below this."""


class Outcome(str, Enum):
    """The end of a request. Only answered ones have latencies; each of the others is a count of its own."""

    ANSWERED = "answered"
    EMPTY = "empty"
    """Whole, with neither text nor a tool call."""
    LIMITED = "limited"
    """429."""
    REFUSED = "refused"
    """Another status from 400 to 499."""
    FAILED = "failed"
    """A status from 500 on, or an error in place of an event."""
    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    """Silent for longer than allowed, or longer than allowed altogether."""
    DROPPED = "dropped"
    """The connection ended before [DONE]."""
    MALFORMED = "malformed"
    """Something that is no event of a chat or a completion."""


@dataclass(slots=True)
class Exchange:
    """Times are seconds of the monotonic clock."""

    item: str
    """The session and the turn: the same in each run with the same load and seed."""
    scheduled_s: float
    """The instant at which a user would have sent it."""
    sent_s: float = 0.0
    ended_s: float = 0.0
    token_times_s: list[float] = field(default_factory=list)
    """Arrival of each event that carries part of the answer."""
    outcome: Outcome = Outcome.ANSWERED
    detail: str = ""
    """Words of the endpoint, where the request was not answered."""
    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    asked_tokens: int = 0
    """The longest answer that was allowed."""
    retry_after_s: float | None = None

    @property
    def output_tokens(self) -> int:
        """Tokens by the endpoint's count, or the events where it counted wrongly."""
        events = len(self.token_times_s)
        return events if self.usage_is_wrong else int((self.usage or {})["completion_tokens"])

    @property
    def prompt_tokens(self) -> int | None:
        counted = (self.usage or {}).get("prompt_tokens")
        return counted if isinstance(counted, int) else None

    @property
    def usage_is_wrong(self) -> bool:
        """Whether the endpoint's count contradicts the stream: none, a wrong sum, fewer tokens than events, or more
        than were allowed."""
        usage = self.usage or {}
        prompt, output, total = (usage.get(f"{part}_tokens") for part in ("prompt", "completion", "total"))
        if not (isinstance(prompt, int) and isinstance(output, int) and prompt > 0):
            return True
        if total is not None and total != prompt + output:
            return True
        return not len(self.token_times_s) <= output <= self.asked_tokens

    def fail(self, outcome: Outcome, detail: str) -> None:
        self.outcome, self.detail = outcome, detail[:300]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a request counts as stalled."""

    silent_s: float
    whole_s: float


def new_session(endpoint: Endpoint, patience: Patience) -> aiohttp.ClientSession:
    """A session without a limit of connections: the client must never be what makes requests wait."""
    timeout = aiohttp.ClientTimeout(total=patience.whole_s, sock_connect=CONNECT_S, sock_read=patience.silent_s)
    return aiohttp.ClientSession(
        headers=endpoint.headers,
        timeout=timeout,
        connector=aiohttp.TCPConnector(limit=0),
        read_bufsize=LINE_BYTES,
    )


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any], exchange: Exchange) -> Exchange:
    """Send the body and follow its stream to the end. What goes wrong is written into the exchange, never raised."""
    exchange.asked_tokens = int(body["max_tokens"])
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    exchange.sent_s = time.monotonic()
    try:
        async with session.post(url, json=streamed) as answer:
            if answer.status == 200:
                await _follow(answer, exchange)
            else:
                await _refused(answer, exchange)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        exchange.fail(Outcome.UNREACHABLE, str(error))
    except TimeoutError as error:
        exchange.fail(Outcome.STALLED, str(error) or "no answer in time")
    except (aiohttp.ClientError, OSError) as error:
        exchange.fail(Outcome.DROPPED, repr(error))
    except ValueError as error:  # a line above LINE_BYTES
        exchange.fail(Outcome.MALFORMED, repr(error))
    exchange.ended_s = time.monotonic()
    return exchange


async def _refused(answer: aiohttp.ClientResponse, exchange: Exchange) -> None:
    if answer.status == 429:
        outcome = Outcome.LIMITED
        exchange.retry_after_s = _seconds(answer.headers.get("Retry-After"))
    else:
        outcome = Outcome.REFUSED if 400 <= answer.status < 500 else Outcome.FAILED
    text = (await answer.content.read(2000)).decode(errors="replace")
    exchange.fail(outcome, f"{answer.status} {text}")


def _seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header; None where it names a date or is absent."""
    return float(header) if header and header.strip().isdecimal() else None


async def _follow(answer: aiohttp.ClientResponse, exchange: Exchange) -> None:
    pieces: list[str] = []
    tools = False
    async for line in answer.content:
        if not line.startswith(b"data:"):
            continue  # an empty line, a comment that keeps the connection alive, or another field of an event
        arrived = time.monotonic()
        data = line[5:].strip()
        if data == b"[DONE]":
            exchange.text = "".join(pieces)
            if not (exchange.text or tools):
                exchange.fail(Outcome.EMPTY, f"finish_reason {exchange.finish_reason}")
            return
        try:
            event = json.loads(data)
            if "error" in event:
                exchange.fail(Outcome.FAILED, str(event["error"]))
                return
            exchange.usage = event.get("usage") or exchange.usage
            for choice in event["choices"]:
                delta = choice.get("delta", choice)
                piece = delta.get("content") or delta.get("text") or ""
                called = bool(delta.get("tool_calls"))
                if piece or called or delta.get("reasoning_content"):
                    exchange.token_times_s.append(arrived)
                pieces.append(piece)
                tools = tools or called
                exchange.finish_reason = choice.get("finish_reason") or exchange.finish_reason
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            exchange.fail(Outcome.MALFORMED, f"{error!r} in {data[:120].decode(errors='replace')}")
            return
    exchange.fail(Outcome.DROPPED, "the stream ended without [DONE]")
