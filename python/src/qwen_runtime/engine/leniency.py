"""Requests of coding agents, in the form that vLLM takes.

Agents send their whole history with each request, so one message that is refused spoils the session for ever. vLLM 0.32
refuses some that ask for nothing, and among them its own answer that says and calls nothing, as OpenAI's SDK hands it
back. It also drops the model's calls where a request has tools and a tool_choice of null. Those are written as it takes
them. All else stays as it came, so that vLLM refuses it itself.
"""

from __future__ import annotations

import json
from typing import Any

from qwen_runtime.engine.asgi import App, Message, Receive, Send, handing_on, read_body

MIDDLEWARE = f"{__name__}.Leniency"
PATH = "/v1/chat/completions"


class Leniency:
    """ASGI middleware that mends the bodies of chat requests."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        body = await read_body(receive)
        if body is None:
            return
        mended = mend(body)
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(mended)).encode()))
        await self._app({**scope, "headers": headers}, handing_on(mended, receive), send)


def mend(body: bytes) -> bytes:
    """The body as vLLM takes it, and the same bytes where nothing is to mend or it is no such request."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(request, dict):
        return body
    mended = _mend_tools(request)
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            mended = _mend_message(message) or mended
    # Lone surrogates stay as they came: vLLM refuses them by name.
    return json.dumps(request).encode() if mended else body


def _mend_tools(request: dict[str, Any]) -> bool:
    """Takes out an empty list of tools, and a choice that leaves calls to the model, as vLLM does without one."""
    mended = False
    if request.get("tools") == []:
        del request["tools"]
        mended = True
    left_to_the_model = (None,) if request.get("tools") else (None, "auto")
    if "tool_choice" in request and request["tool_choice"] in left_to_the_model:
        del request["tool_choice"]
        mended = True
    return mended


def _mend_message(message: dict[str, Any]) -> bool:
    mended = False
    if "name" in message and message["name"] is None:
        del message["name"]
        mended = True
    calls = message.get("tool_calls")
    if message.get("role") in ("assistant", "tool") and message.get("content", "") is None and not calls:
        message["content"] = ""
        mended = True
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            mended = _mend_call(call) or mended
    return mended


def _mend_call(call: dict[str, Any]) -> bool:
    """Gives a call its type, and its arguments as the text that they are in OpenAI's API."""
    function = call["function"]
    arguments = function.get("arguments")
    if "type" in call and isinstance(arguments, str):
        return False
    call.setdefault("type", "function")
    if not isinstance(arguments, str):
        function["arguments"] = json.dumps(arguments or {})
    return True
