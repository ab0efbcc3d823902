"""A stand-in for an endpoint under load: streamed answers at a known pace, with a queue and faults at will.

`python -m tests.fakes.token_server --port P [--first-s S] [--gap-s S] [--slots N] [--fault NAME ...]`
A request waits for one of the slots, then `first-s`, then gets `max_tokens` tokens, one every `gap-s`. The faults
are taken in turn, one a request, `none` included: see `FAULTS`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop
from aiohttp import web

FAULTS = (
    *("none", "stall", "drop", "limit", "refuse", "fail", "empty", "error event", "malformed"),
    *("no usage", "wrong sum", "too few", "early stop"),
)
MODEL = "fake"


@dataclass
class Pace:
    first_s: float = 0.0
    gap_s: float = 0.0
    slots: int = 10_000
    faults: tuple[str, ...] = ("none",)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of requests, in the order of arrival."""
    answer: Callable[[dict[str, Any]], str] | None = None
    """The text of an answer, whole in one event, in place of tokens at a pace."""
    logprobs: Callable[[str], list[float]] | None = None
    """Logarithms of the probabilities of a prompt's tokens but the first, for requests that ask for them."""
    likeliest: str = "7"
    """Number of the token that has probability 1 in every place; 7 is the number of each token of a prompt."""
    variants: tuple[str, ...] = ()
    """Entries that share the model's name, as at the gateway: an answer tells the one that its request names."""
    keep: bool = True
    """Whether bodies are kept."""


class TokenServer:
    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._faults = itertools.cycle(pace.faults)
        self._slots = asyncio.Semaphore(pace.slots)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 26)
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/version", self._version)
        application.router.add_get("/health", self._version)
        application.router.add_post("/v1/chat/completions", self._answer)
        application.router.add_post("/v1/completions", self._answer)
        application.on_response_prepare.append(self._tell_variant)
        return application

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "max_model_len": 4096}]})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.0-fake"})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.pace.keep:
            self.pace.bodies.append(body)
        fault = next(self._faults)
        if fault == "limit":
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "1"})
        if fault in {"refuse", "fail"}:
            return web.json_response({"error": {"message": fault}}, status=400 if fault == "refuse" else 503)
        if self.pace.logprobs and "prompt_logprobs" in body and fault == "none":
            told = [None, *map(self._place, self.pace.logprobs(body["prompt"]))]
            return web.json_response({"choices": [{"index": 0, "text": " the", "prompt_logprobs": told}]})
        if self.pace.answer and fault == "none":
            return await self._say(request, "messages" in body, self.pace.answer(body))
        async with self._slots:
            return await self._stream(request, body, fault)

    def _place(self, logprob: float) -> dict[str, dict[str, float]]:
        """A place of a prompt, as vLLM tells it: its own token, and the likeliest where that is another."""
        if self.pace.likeliest == "7":
            return {"7": {"logprob": logprob, "rank": 1}}
        return {"7": {"logprob": logprob, "rank": 2}, self.pace.likeliest: {"logprob": 0.0, "rank": 1}}

    async def _tell_variant(self, request: web.Request, answer: web.StreamResponse) -> None:
        if (named := request.headers.get("x-qwen-variant")) in self.pace.variants:
            answer.headers["x-qwen-variant"] = str(named)

    async def _stream(self, request: web.Request, body: dict[str, Any], fault: str) -> web.StreamResponse:
        chat = "messages" in body
        count = body.get("max_tokens") or body["max_completion_tokens"]
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await asyncio.sleep(self.pace.first_s)
        clock = asyncio.get_running_loop()
        begun = clock.time()
        for number in range(0 if fault == "empty" else count):
            await asyncio.sleep(max(0.0, begun + number * self.pace.gap_s - clock.time()))
            if number == count // 2 and fault in {"stall", "drop", "error event", "malformed", "early stop"}:
                if await self._break(stream, request, fault):
                    return stream
                break
            await stream.write(_event([{"index": 0, **_piece(chat, " the"), "finish_reason": None}]))
        await stream.write(_event([{"index": 0, **_piece(chat, ""), "finish_reason": "length"}]))
        if (usage := _usage(count, fault)) is not None:
            await stream.write(_event([], usage))
        await stream.write(b"data: [DONE]\n\n")
        return stream

    async def _say(self, request: web.Request, chat: bool, text: str) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(_event([{"index": 0, **_piece(chat, text), "finish_reason": "stop"}]))
        await stream.write(_event([], _usage(1, "none")))
        await stream.write(b"data: [DONE]\n\n")
        return stream

    async def _break(self, stream: web.StreamResponse, request: web.Request, fault: str) -> bool:
        """Whether the stream is over."""
        if fault == "stall":
            await asyncio.sleep(3600)
        if fault == "early stop":
            await stream.write(_event([{"index": 0, **_piece(True, ""), "finish_reason": "stop"}]))
            await stream.write(b"data: [DONE]\n\n")
        if fault == "drop":
            assert request.transport
            request.transport.abort()
        if fault == "error event":
            await stream.write(b'data: {"error": {"message": "engine died"}}\n\n')
        if fault == "malformed":
            await stream.write(b"data: <html>\n\n")
        return True


def _piece(chat: bool, text: str) -> dict[str, Any]:
    return {"delta": {"content": text}} if chat else {"text": text}


def _usage(count: int, fault: str) -> dict[str, int] | None:
    if fault == "no usage":
        return None
    output = {"too few": count // 2, "empty": 0}.get(fault, count)
    return {
        "prompt_tokens": 10,
        "completion_tokens": output,
        "total_tokens": 10 + output + (7 if fault == "wrong sum" else 0),
    }


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    content = {"id": "x", "object": "chat.completion.chunk", "model": MODEL, "choices": choices}
    return b"data: " + json.dumps(content | ({"usage": usage} if usage else {})).encode() + b"\n\n"


@contextmanager
def serving(pace: Pace) -> Iterator[str]:
    """The address of a server in a thread of its own, for as long as the block runs."""
    started = threading.Event()
    address: list[str] = []
    loop = asyncio.new_event_loop()

    async def serve(stop: asyncio.Event) -> None:
        runner = web.AppRunner(TokenServer(pace).application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        started.set()
        await stop.wait()
        await runner.cleanup()

    async def stopped() -> asyncio.Event:
        return asyncio.Event()

    stop = loop.run_until_complete(stopped())
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)))
    thread.start()
    started.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first-s", type=float, default=0.0)
    parser.add_argument("--gap-s", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=10_000)
    parser.add_argument("--fault", nargs="*", default=["none"], choices=FAULTS)
    options = parser.parse_args()
    pace = Pace(options.first_s, options.gap_s, options.slots, tuple(options.fault), keep=False)
    # As fast as the clients that are measured with it.
    loop, where = uvloop.new_event_loop(), ("127.0.0.1", options.port)
    web.run_app(TokenServer(pace).application(), host=where[0], port=where[1], access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
