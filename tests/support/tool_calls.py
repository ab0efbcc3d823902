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
# Schemas as pydantic writes them for optional and nested values, and so most servers of the Model Context Protocol.
SCHEMAS: dict[str, Any] = {
    "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "ratio_or_name": {"oneOf": [{"type": "number"}, {"type": "string"}]},
    "level": {"enum": [1, 2, 3]},
    "spot": {"$ref": "#/$defs/Spot"},
    "other_spot": {"anyOf": [{"$ref": "#/$defs/Spot"}, {"type": "null"}]},
    "spots": {"type": "array", "items": {"$ref": "#/$defs/Spot"}},
    "mode": {"$ref": "#/$defs/Mode"},
    "tree": {"$ref": "#/$defs/Tree"},
}
DEFINITIONS: dict[str, Any] = {
    "Spot": {"type": "object", "properties": {"line": {"type": "integer"}, "text": {"type": "string"}}},
    "Mode": {"type": "string", "enum": ["fast", "safe"]},
    "Tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "edit",
            "parameters": {
                "type": "object",
                "properties": {**{name: {"type": kind} for name, kind in TYPES.items()}, **SCHEMAS},
                "$defs": DEFINITIONS,
            },
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
    "values of types that may be one or the other": (
        call(count="3", ratio_or_name="0.5", level="2") + "\n" + call(count="null", ratio_or_name="half", level="9"),
        edits(
            {"count": 3, "ratio_or_name": 0.5, "level": 2},
            {"count": None, "ratio_or_name": "half", "level": 9},
        ),
    ),
    "values of types behind references": (
        call(
            spot='{"line": 3, "text": "4"}',
            other_spot='{"line": 5}',
            spots='[{"line": 6}]',
            mode="fast",
            tree='{"children": [{"children": []}]}',
        )
        + "\n"
        + call(other_spot="null", spot="{oops"),
        edits(
            {
                "spot": {"line": 3, "text": "4"},
                "other_spot": {"line": 5},
                "spots": [{"line": 6}],
                "mode": "fast",
                "tree": {"children": [{"children": []}]},
            },
            {"other_spot": None, "spot": "{oops"},
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
