"""Write the tables of keys in pulumi/README.md from the fields of Settings; `--check` only shows what differs.

PYTHONPATH=pulumi:python/src python -m qwen_stack.reference
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_stack.settings.stack import Settings

README = Path(__file__).resolve().parents[1] / "README.md"
HEADING = "| key | values | default | meaning |\n|---|---|---|---|\n"
TYPES = {"array": "list", "boolean": "true, false", "number": "number", "object": "map", "string": "text"}
SCHEMA = Settings.model_json_schema()
Schema = dict[str, Any]


def rows(section: Schema, prefix: str = "", optional: bool = False) -> Iterator[str]:
    """Rows of a section's keys and of the sections inside it. An `optional` section requires no key."""
    for key, described in section["properties"].items():
        field = _without_none(described)
        if "$ref" in field:
            yield from rows(_named(field["$ref"]), f"{prefix}{key}.", optional="anyOf" in described)
            continue
        needed = key in section.get("required", ()) and not optional
        cells = (f"{prefix}{key}", _values(field), _default(described, needed), described["description"])
        yield "| " + " | ".join(" ".join(cell.split()) for cell in cells) + " |\n"


def rewritten(text: str) -> str:
    """The README with tables that agree with the settings."""
    for name, section in (("stack", SCHEMA), ("model", _named(SCHEMA["properties"]["models"]["items"]["$ref"]))):
        before, begin, rest = text.partition(f"<!-- begin {name} -->\n")
        _, end, after = rest.partition(f"<!-- end {name} -->")
        text = before + begin + HEADING + "".join(rows(section)) + end + after
    return text


def _without_none(described: Schema) -> Schema:
    """A key's schema without the alternative that the key is left out."""
    if "anyOf" not in described:
        return described
    [part] = [part for part in described["anyOf"] if part.get("type") != "null"]
    return dict(part)


def _named(reference: str) -> Schema:
    definition: Schema = SCHEMA["$defs"][reference.rpartition("/")[2]]
    return definition


def _values(field: Schema) -> str:
    if field.get("writeOnly"):
        return "secret"
    if "writeOnly" in json.dumps(field):
        return "map of secrets"
    if "enum" in field:
        return ", ".join(field["enum"])
    if field["type"] == "integer":
        least = field.get("minimum", field.get("exclusiveMinimum", -1) + 1)
        return f"{least} to {field['maximum']}" if "maximum" in field else f"{least} or more"
    if field["type"] == "number":
        least = f"{field['minimum']:g} or more" if "minimum" in field else f"above {field['exclusiveMinimum']:g}"
        return f"{least}, below {field['exclusiveMaximum']:g}" if "exclusiveMaximum" in field else least
    return TYPES[field["type"]] + "".join(f" such as {example}" for example in field.get("examples", ()))


def _default(described: Schema, needed: bool) -> str:
    value = described.get("default")
    if needed:
        default = "required"
    elif value in (None, {}, []):
        default = "none"
    else:
        default = value if isinstance(value, str) else json.dumps(value)
    return str(described.get("filled", "{}")).format(default)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the file is not up to date")
    options = parser.parse_args()
    committed = README.read_text()
    current = rewritten(committed)
    if not options.check:
        README.write_text(current)
        return 0
    lines = difflib.unified_diff(committed.splitlines(True), current.splitlines(True), "committed", "rewritten")
    sys.stdout.writelines(lines)
    return int(committed != current)


if __name__ == "__main__":
    sys.exit(main())
