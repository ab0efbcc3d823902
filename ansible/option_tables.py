"""Write the table of options in each role's README from meta/argument_specs.yml and defaults/main.yml.

An option is described once, in the specification. The table lies between two markers. With --check nothing is written,
and a table that differs ends in an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent / "roles"
BEGIN = "<!-- options: written by ansible/option_tables.py -->"
END = "<!-- end of options -->"
LONGEST_DEFAULT = 72


def table(role: Path) -> str:
    """The options of a role as a table in Markdown, in the order of the specification."""
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    rows = [
        f"| `{name}` | {_type(option)} | {_default(option, defaults[name])} | {_meaning(option)} |"
        for name, option in options.items()
    ]
    return "\n".join(["| Variable | Type | Default | Meaning |", "|---|---|---|---|", *rows])


def _type(option: Mapping[str, Any]) -> str:
    return f"list of {option['elements']}" if option["type"] == "list" else str(option["type"])


def _default(option: Mapping[str, Any], value: Any) -> str:
    if option.get("required"):
        return "**required**"
    if value == "":
        return "empty"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).removesuffix("...\n").strip()
    if isinstance(value, str):
        # An expression that is the whole value reads better without its braces.
        text = re.sub(r"^\{\{ ([^{}]+) \}\}$", r"\1", value)
    return f"`{_cell(text)}`" if len(text) <= LONGEST_DEFAULT else "see `defaults/main.yml`"


def _meaning(option: Mapping[str, Any]) -> str:
    choices = [f"`{choice}`" if choice else "empty" for choice in option.get("choices", [])]
    return _cell(option["description"]) + (f" One of {', '.join(choices)}." if choices else "")


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def readme(role: Path) -> str:
    """The README with the table as it should be."""
    before, begin, rest = (role / "README.md").read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(
            f"found:  no {BEGIN if not begin else END} in {role.name}/README.md\n"
            "needed: both markers, between which the table of options lies\n"
            f"remedy: write {BEGIN} and {END} where it belongs, each on a line of its own"
        )
    return f"{before}{begin}\n{table(role)}\n{end}{after}"


def stale() -> Iterator[Path]:
    """Roles whose README has another table."""
    for role in sorted(path for path in ROLES.iterdir() if path.is_dir()):
        if (role / "README.md").read_text() != readme(role):
            yield role


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a table differs")
    checking = parser.parse_args().check
    roles = list(stale())
    if checking and roles:
        names = ", ".join(role.name for role in roles)
        print(
            f"found:  a table of options that differs from the specification ({names})\n"
            "needed: READMEs that say what meta/argument_specs.yml and defaults/main.yml say\n"
            "remedy: run python ansible/option_tables.py",
            file=sys.stderr,
        )
        return 1
    for role in roles:
        (role / "README.md").write_text(readme(role))
    return 0


if __name__ == "__main__":
    sys.exit(main())
