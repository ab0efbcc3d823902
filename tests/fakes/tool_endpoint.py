"""A stand-in for an endpoint with tools, which calls right, or wrong in one named way. Answers come from the cases' own
right arguments; what a real server refuses (a history whose call has no result) is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from qwen_runtime.evaluate.tools.cases import CASES, Case

WRONG = {
    "schema": ("text for numbers", "arguments cut", "another tool"),
    "form": ("no identity", "no end"),
    "streamed": ("streamed differs",),
    "finish_reason": ("always stop",),
    "tool_choice": ("ignores none", "never calls"),
    "usage": ("streamed usage differs", "usage off by one"),
    "replay": ("refuses history",),
    "cut_off": ("cut is finished",),
}
"""The check that each fault must fail."""
PROMPT_TOKENS = 40


class ToolEndpoint:
    def __init__(self, fault: str) -> None:
        self._fault = fault

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/tokenize", self._tokenize)
        application.router.add_post("/v1/chat/completions", self._answer)
        return application

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "fake"}]})

    async def _tokenize(self, _: web.Request) -> web.Response:
        return web.json_response({"count": PROMPT_TOKENS})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        calls = [m["tool_calls"] for m in body["messages"] if m.get("tool_calls")]
        results = [m for m in body["messages"] if m["role"] == "tool"]
        if (self._fault == "refuses history" and calls) or sum(map(len, calls)) != len(results):
            return web.json_response({"error": {"message": "bad history"}}, status=400)
        message, reason = self._say(body)
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
            return web.json_response({"choices": [choice], "usage": self._usage(False)})
        return await self._stream(request, message, reason)

    def _say(self, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
        choice = body.get("tool_choice", "auto")
        if any(m["role"] == "tool" for m in body["messages"]):
            return {"content": "localhost"}, "stop"
        if body["max_tokens"] < 10:
            return self._cut()
        if (choice == "none" and self._fault != "ignores none") or self._fault == "never calls":
            return {"content": "I would call."}, "stop"
        if choice == "auto" and self._fault == "calls only where it must":
            return {"content": "I would call."}, "stop"
        case = next(one for one in CASES if one.question == body["messages"][0]["content"])
        return {"content": None, "tool_calls": [self._call(case, body)]}, self._reason()

    def _call(self, case: Case, body: dict[str, Any]) -> dict[str, Any]:
        right: dict[str, Any] = dict(case.right)
        if self._fault == "text for numbers":
            right = {key: str(value) for key, value in right.items()}
        if self._fault == "streamed differs" and body.get("stream"):
            right = {**right, "more": 1}
        arguments = json.dumps(right)
        function = {
            "name": "other" if self._fault == "another tool" else case.name,
            "arguments": arguments[:-1] if self._fault == "arguments cut" else arguments,
        }
        return {"id": "" if self._fault == "no identity" else "call_1", "type": "function", "function": function}

    def _cut(self) -> tuple[dict[str, Any], str]:
        if self._fault != "cut is finished":
            return {"content": "wr"}, "length"
        function = {"name": "write_file", "arguments": '{"pa'}
        return {
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }, "tool_calls"

    def _reason(self) -> str:
        return "stop" if self._fault == "always stop" else "tool_calls"

    def _usage(self, streamed: bool) -> dict[str, int]:
        more = int(self._fault == "usage off by one" or (self._fault == "streamed usage differs" and streamed))
        prompt = PROMPT_TOKENS + more
        return {"prompt_tokens": prompt, "completion_tokens": 9, "total_tokens": prompt + 9}

    async def _stream(self, request: web.Request, message: dict[str, Any], reason: str) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for delta in _deltas(message):
            await stream.write(_event({"choices": [{"index": 0, "delta": delta}]}))
        await stream.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
        await stream.write(_event({"choices": [], "usage": self._usage(True)}))
        if self._fault != "no end":
            await stream.write(b"data: [DONE]\n\n")
        return stream


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The message in pieces of five letters."""
    for number, call in enumerate(message.get("tool_calls") or []):
        head = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{"index": number, "id": call["id"], "type": "function", "function": head}]}
        text = call["function"]["arguments"]
        for start in range(0, len(text), 5):
            yield {"tool_calls": [{"index": number, "function": {"arguments": text[start : start + 5]}}]}
    if message["content"]:
        yield {"content": message["content"]}


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


@contextmanager
def serving(fault: str = "none") -> Iterator[str]:
    """The address of an endpoint in a thread of its own, for as long as the block runs."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    address: list[str] = []

    async def start() -> web.AppRunner:
        runner = web.AppRunner(ToolEndpoint(fault).application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
