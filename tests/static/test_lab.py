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


ROWS = dict(re.findall(r"^\| `(\w+)/` \| (.+) \|$", (LAB / "README.md").read_text(), re.MULTILINE))


def folders_of_imports(file: Path) -> set[str]:
    """Folders of the lab from which a file imports."""
    nodes = ast.walk(ast.parse(file.read_text()))
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {module.split(".")[1] for module in modules if module.startswith("lab.")} & ROWS.keys()


def test_the_readme_describes_each_folder_as_the_folder_itself_does() -> None:
    packages = {file.parent.name: ast.get_docstring(ast.parse(file.read_text())) for file in LAB.glob("*/__init__.py")}
    assert packages == ROWS


def test_every_folder_of_python_is_in_the_readme() -> None:
    folders = {file.relative_to(LAB).parts[0] for file in LAB.glob("*/**/*.py")}
    assert folders == {file.parent.name for file in LAB.glob("*/__init__.py")}


@pytest.mark.parametrize("folder", ROWS)
def test_a_folder_imports_from_those_above_it_in_the_readme_only(folder: str) -> None:
    allowed = set(list(ROWS)[: list(ROWS).index(folder) + 1])
    imports = {str(file): folders_of_imports(file) - allowed for file in (LAB / folder).rglob("*.py")}
    assert not {file: folders for file, folders in imports.items() if folders}


def test_the_files_beside_the_folders_import_from_none_of_them() -> None:
    shared = [file for file in LAB.glob("*.py") if file.name != "__main__.py"]
    assert not {file.name for file in shared if folders_of_imports(file)}


@pytest.mark.parametrize("module", BEFORE_ANY_INSTALLATION)
def test_what_runs_before_an_installation_needs_the_standard_library_only(module: str) -> None:
    # With -S the folders of installed packages are not searched.
    imported = subprocess.run(
        [sys.executable, "-S", "-c", f"import {module}"], cwd=LAB.parent, check=False, capture_output=True, text=True
    )
    assert imported.returncode == 0, imported.stderr
