"""Good and bad requests to vLLM, and its answer to the good one."""

from __future__ import annotations

from typing import Any

from tests.support.client import CHAT, COMPLETIONS, Client, Json
from tests.support.engines import CONTEXT

USER = {"role": "user", "content": "Hello"}
GOOD: Json = {"prompt": "def add(a, b):", "max_tokens": 8, "temperature": 0, "return_token_ids": True}
A_MEGABYTE = "x " * 500_000
REFUSED: list[tuple[str, Json]] = [
    (CHAT, {"messages": []}),
    (CHAT, {"messages": [{"role": "user"}]}),
    (CHAT, {"messages": [{"role": "user", "content": None}]}),
    (CHAT, {"messages": [{**USER, "content": A_MEGABYTE}]}),
    (COMPLETIONS, {"prompt": A_MEGABYTE}),
    (COMPLETIONS, {"prompt": ""}),
    (COMPLETIONS, {"prompt": [1] * CONTEXT, "max_tokens": 1}),
    (COMPLETIONS, {"prompt": [1] * (CONTEXT + 1), "max_tokens": 1}),
    (COMPLETIONS, {"prompt": [10**6]}),
    (CHAT, {"messages": [{**USER, "content": "\ud800"}]}),
    (COMPLETIONS, {"prompt": "\udfff\ud800 x"}),
    (COMPLETIONS, {"prompt": "x", "model": "\ud83d"}),
    (COMPLETIONS, {"prompt": "x", "\ud83d": 1}),
]
NO_REQUEST = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"prompt": ' + b"[" * 100_000, b"9" * 5000]
TAKEN: list[tuple[str, Json]] = [
    # Agents send these; the package's middleware makes them what vLLM takes.
    (CHAT, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": None}, USER]}),
    (CHAT, {"messages": [{**USER, "name": None}], "tools": [], "tool_choice": "auto"}),
    (CHAT, {"messages": [{"role": "alien", "content": "x"}]}),
    (CHAT, {"messages": [{**USER, "content": "".join(map(chr, range(32))) + "\x7f\u2028\ufeff\U0010ffff"}]}),
    (COMPLETIONS, {"prompt": "".join(map(chr, range(32))) + "\x7f\u2028\ufeff\U0010ffff"}),
]
# A reason, and a request that vLLM answers with a 500 of its own.
KNOWN_FAILURES: list[tuple[str, str, Json]] = [
    ("a stop string that is no Unicode", COMPLETIONS, {"prompt": "x", "stop": "\ud83d"}),
    ("one in a list", COMPLETIONS, {"prompt": "x", "stop": ["never", "\ud83d"]}),
    ("structured outputs that are no object", COMPLETIONS, {"prompt": "x", "structured_outputs": True}),
    ("the same in a chat", CHAT, {"messages": [USER], "structured_outputs": "json"}),
]


def known_to_fail(body: Any) -> bool:
    """Whether vLLM answers a random body with a 500 of its own, whatever else is in it."""
    return isinstance(body, dict) and not isinstance(body.get("structured_outputs"), dict | None)


def answer(client: Client) -> list[int]:
    status, answer = client.ask(COMPLETIONS, GOOD)
    assert status == 200, answer
    return answer["choices"][0]["token_ids"]
