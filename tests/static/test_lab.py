"""The lab's folders, and its part that runs before anything is installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[2] / "lab"
# `make serve` and `make chat` never enter the controller's environment. All other commands start in lab.__main__.
BEFORE_ANY_INSTALLATION = ("lab.__main__", "lab.commands.serve")


def test_the_readme_says_of_each_folder_what_the_folder_says_of_itself() -> None:
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.+) \|$", (LAB / "README.md").read_text(), re.MULTILINE))
    packages = {file.parent.name: ast.get_docstring(ast.parse(file.read_text())) for file in LAB.glob("*/__init__.py")}
    assert rows == packages


def test_every_folder_of_python_is_in_the_readme() -> None:
    folders = {file.relative_to(LAB).parts[0] for file in LAB.glob("*/**/*.py")}
    assert folders == {file.parent.name for file in LAB.glob("*/__init__.py")}


@pytest.mark.parametrize("module", BEFORE_ANY_INSTALLATION)
def test_what_runs_before_an_installation_needs_the_standard_library_only(module: str) -> None:
    # With -S the folders of installed packages are not searched.
    imported = subprocess.run(
        [sys.executable, "-S", "-c", f"import {module}"], cwd=LAB.parent, check=False, capture_output=True, text=True
    )
    assert imported.returncode == 0, imported.stderr
