"""Directions inside the program: one module reads the configuration, specs import no pulumi, components are whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi/qwen_stack"
COMPONENTS = sorted(PROGRAM.glob("components/*.py"))
EVERYTHING = sorted(PROGRAM.rglob("*.py"))
IMPURE = {"program.py", "config.py", "runbook.py"}
ROOMS = ("settings", "rules", "specs")
PURE = [
    *(path for room in ROOMS for path in sorted(PROGRAM.glob(f"{room}/**/*.py"))),
    *(path for path in sorted(PROGRAM.glob("*.py")) if path.name not in IMPURE),
]
Classes = list[tuple[Path, ast.ClassDef]]


def imports(path: Path) -> set[str]:
    """Modules that a file imports, those of the program by their names inside it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("qwen_stack.").split(".")[0] for name in names}


def component_classes() -> Classes:
    return [
        (path, node)
        for path in COMPONENTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any("ComponentResource" in ast.unparse(base) for base in node.bases)
    ]


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.name)
def test_pure_modules_import_no_pulumi(path: Path) -> None:
    assert not imports(path) & {"pulumi", "pulumi_kubernetes", "components", "config"}


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.name)
def test_components_are_given_their_values_and_do_not_read_configuration(path: Path) -> None:
    assert "config" not in imports(path)
    assert "pulumi.Config" not in path.read_text()


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_nothing_asks_for_the_stacks_name_but_to_read_its_own_outputs(path: Path) -> None:
    if path == PROGRAM / "components/last_run.py":
        return
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    assert not [call for call in calls if call.endswith("get_stack")]


def test_every_component_registers_its_outputs() -> None:
    classes = component_classes()
    assert len(classes) >= 4
    for path, node in classes:
        assert "self.register_outputs(" in ast.unparse(node), f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", [*PURE, *COMPONENTS], ids=lambda path: path.name)
def test_no_module_opens_files_on_import(path: Path) -> None:
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Expr, ast.Assign, ast.With))]
    opened = [ast.unparse(node) for node in top if "open(" in ast.unparse(node) or "read_text(" in ast.unparse(node)]
    assert not opened
