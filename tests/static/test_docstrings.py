"""Docstrings stand alone: a noun phrase or a verb at the beginning says what they are about."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Words that continue a sentence of another place. "Whether" is the usual form for a boolean and may begin one.
CONTINUATIONS = """
above after among and as at because before behind below beside besides between but by for from if in into of on once or
over since so than that though through to under unless until upon what whatever when where which whichever while who
whoever whose with without
"""


def listed() -> list[str]:
    return subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string that stands as a statement: of modules, classes, functions and fields."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def first_word(text: str) -> str:
    return text.split(maxsplit=1)[0].strip(".,:;").lower() if text else ""


@pytest.mark.parametrize(("text", "word"), [("Of a host, kept free.", "of"), ("Memory of a host.", "memory"), ("", "")])
def test_the_first_word_decides(text: str, word: str) -> None:
    assert first_word(text) == word


def test_no_docstring_begins_in_the_middle_of_a_sentence() -> None:
    beginnings = {
        f"{name}:{line}: {text.splitlines()[0]}"
        for name in listed()
        if (ROOT / name).is_file()
        for line, text in docstrings((ROOT / name).read_text())
        if first_word(text) in CONTINUATIONS.split()
    }
    assert not beginnings, "\n".join(sorted(beginnings))
