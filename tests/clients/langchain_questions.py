"""Asks the endpoint through LangChain. Runs in the environment of the libraries; prints JSON.

    python langchain_questions.py SETTINGS QUESTION

SETTINGS is a file of Python that makes `chat`, as in docs/clients.md.
"""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

from langchain_core.tools import tool


@tool
def edit(path: str, line: int) -> str:
    """Edit a line."""
    return f"renamed {path}:{line}"


def main(settings: str, question: str) -> dict[str, Any]:
    chat = runpy.run_path(settings)["chat"]
    with_tools = chat.bind_tools([edit])
    called = with_tools.invoke(question)
    results = [edit.invoke(call) for call in called.tool_calls]
    pieces = list(chat.stream("Say it."))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    return {
        "calls": [[call["name"], call["args"]] for call in called.tool_calls],
        "after": with_tools.invoke([("user", question), called, *results]).content,
        "streamed": whole.content,
        "generated": whole.usage_metadata["output_tokens"],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
