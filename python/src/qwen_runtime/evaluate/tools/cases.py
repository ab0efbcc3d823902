"""Tools with every kind of parameter that agents declare, and a question that asks for a call of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    parameters: Schema
    question: str
    right: dict[str, Any]
    """Arguments of a right call. A model may choose others: only the schema is held."""

    @property
    def tool(self) -> dict[str, Any]:
        function = {"name": self.name, "description": f"Does {self.name}.", "parameters": self.parameters}
        return {"type": "function", "function": function}


def _object(required: list[str] | None = None, /, **properties: Schema) -> Schema:
    named = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": named, "additionalProperties": False}


TEXT, WHOLE, REAL, YES = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))

CASES = (
    Case("read_file", _object(path=TEXT), "Read the file /etc/hosts.", {"path": "/etc/hosts"}),
    Case(
        "set_limits",
        _object(count=WHOLE, share=REAL, strict=YES),
        "Set the limits: count 3, share 0.5, strict true.",
        {"count": 3, "share": 0.5, "strict": True},
    ),
    Case(
        "set_unit",
        _object(unit={"type": "string", "enum": ["celsius", "fahrenheit"]}),
        "Set the unit to celsius.",
        {"unit": "celsius"},
    ),
    Case(
        "tag_files",
        _object(paths={"type": "array", "items": TEXT, "minItems": 1}),
        "Tag the files a.txt and b.txt.",
        {"paths": ["a.txt", "b.txt"]},
    ),
    Case(
        "find_entry",
        _object(key={"anyOf": [WHOLE, TEXT]}),
        "Find the entry with the key 42.",
        {"key": 42},
    ),
    Case(
        "set_owner",
        _object(owner={"type": ["string", "null"]}),
        "Set the owner to nobody: null.",
        {"owner": None},
    ),
    Case(
        "move_robot",
        {
            **_object(target={"$ref": "#/$defs/point"}),
            "$defs": {"point": _object(x=WHOLE, y=WHOLE)},
        },
        "Move the robot to the point x 1, y 2.",
        {"target": {"x": 1, "y": 2}},
    ),
    Case(
        "write_file",
        _object(["path", "text"], path=TEXT, text=TEXT, mode=WHOLE),
        'Write the file a.py with the text:\nprint("<tool_call> {\\"a\\": 1}")\n',
        {"path": "a.py", "text": 'print("<tool_call> {\\"a\\": 1}")\n'},
    ),
    Case(
        "edit_lines",
        _object(edits={"type": "array", "minItems": 1, "items": _object(line=WHOLE, text=TEXT)}),
        "Edit line 3 to the text 'x = 1'.",
        {"edits": [{"line": 3, "text": "x = 1"}]},
    ),
)
