"""Tool calls as Qwen3-Coder writes them, and those that a client gets for them."""

from __future__ import annotations

from typing import Any

TYPES = {
    "path": "string",
    "text": "string",
    "line": "integer",
    "ratio": "number",
    "force": "boolean",
    "marks": "array",
    "options": "object",
    "note": ["string", "null"],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "edit",
            "parameters": {"type": "object", "properties": {name: {"type": kind} for name, kind in TYPES.items()}},
        },
    }
]


def call(name: str = "edit", **parameters: str) -> str:
    """A call as Qwen3-Coder's chat template has it."""
    lines = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items())
    return f"<tool_call>\n<function={name}>\n{lines}</function>\n</tool_call>"


def edits(*arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("edit", one) for one in arguments]


STRINGS = {
    "quotes and backslashes": "say \"hi\" and 'bye', C:\\new\\table, \\n",
    "newlines at both ends": "\n  first\n\n  last\n\n",
    "braces": '{"a": [1, {"b": "}"}]}',
    "letters of several bytes": "Größe 漢字 🙂 \u2028 é",
    "angle brackets": "if a < b and c > d: <tag> </tag> <",
    "the mark that ends a call": "print('</tool_call>')",
    "nothing": "",
}
# Text, and the calls that a client gets for it, streamed or not.
CALLS: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    **{name: (call(text=value), edits({"text": value})) for name, value in STRINGS.items()},
    "values by their schema's type": (
        call(path="1", line="3", ratio="0.5", force="true", marks="[1, 2]", options='{"a": "b"}', note="null"),
        edits(
            {
                "path": "1",
                "line": 3,
                "ratio": 0.5,
                "force": True,
                "marks": [1, 2],
                "options": {"a": "b"},
                "note": None,
            }
        ),
    ),
    "values that are not of that type": (
        call(line="three", options="{oops"),
        edits({"line": "three", "options": "{oops"}),
    ),
    "no parameters": (call(), edits({})),
    "a parameter without a schema": (call(other="3"), edits({"other": "3"})),
    "a function that was not offered": (call("other", line="3"), [("other", {"line": "3"})]),
    "two calls": (call(path="a") + "\n" + call(path="b"), edits({"path": "a"}, {"path": "b"})),
    "two functions in one call": (
        call(path="a").removesuffix("</tool_call>") + call(path="b").removeprefix("<tool_call>\n"),
        edits({"path": "a"}, {"path": "b"}),
    ),
    "no </parameter> between two": (
        call(path="a", line="3").replace("\n</parameter>", "", 1),
        edits({"path": "a", "line": 3}),
    ),
    "no </function>": (call(path="a").replace("</function>\n", ""), edits({"path": "a"})),
    "no </tool_call>": (call(path="a").removesuffix("</tool_call>"), edits({"path": "a"})),
    "no <tool_call>": (call(path="a").removeprefix("<tool_call>\n"), edits({"path": "a"})),
}
