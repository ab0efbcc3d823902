"""Asks the endpoint through LiteLLM. Runs in the environment of the libraries; prints JSON.

    python litellm_questions.py SETTINGS QUESTION

SETTINGS is a file of Python that makes `ASK`, as in docs/clients.md.
"""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

import litellm

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "edit",
            "description": "Edit a line.",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "line": {"type": "integer"}},
                "required": ["path", "line"],
            },
        },
    }
]


def main(settings: str, question: str) -> dict[str, Any]:
    ask = runpy.run_path(settings)["ASK"]
    asked = [{"role": "user", "content": question}]
    called = litellm.completion(messages=asked, tools=TOOLS, **ask).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "renamed"} for call in called.tool_calls]
    say = [{"role": "user", "content": "Say it."}]
    pieces = list(litellm.completion(messages=say, stream=True, stream_options={"include_usage": True}, **ask))
    after = litellm.completion(messages=[*asked, called.model_dump(), *results], tools=TOOLS, **ask)
    usage = next(piece.usage for piece in reversed(pieces) if getattr(piece, "usage", None))
    return {
        "calls": [[call.function.name, json.loads(call.function.arguments)] for call in called.tool_calls],
        "after": after.choices[0].message.content,
        "streamed": "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices),
        "generated": usage.completion_tokens,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
