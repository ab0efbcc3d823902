"""The folders of the tree, and the directions of imports between them."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    *(".ansible-lint", ".ci", ".gitignore", ".yamllint", "Makefile", "pyproject.toml"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "README.zh-CN.md"),
    *("versions.yml", "ansible", "controller", "docs", "images", "inventory", "lab", "locks", "mirror", "molecule"),
    *("pulumi", "python", "tests"),
}
PRODUCTION = ("ansible/", "controller/", "images/", "mirror/", "pulumi/", "python/")
GENERATED = ("locks/", "go.mod", "go.sum", "docs/operate/runbook.md")
LONGEST_LINES = {"tests/": 400, "": 300}
LARGEST_BYTES = 1_000_000
# Import direction inside the runtime package: a module imports from its own layer or a lower one.
LAYERS = {"errors": 0, "names": 0, "units": 0, "engine": 2, "plan": 3, "serve": 4, "cli": 5, "demo": 5, "__main__": 6}
LAYERS |= {"endpoint": 1, "bench": 4, "compare": 4, "evaluate": 4, "gate": 5}
MIDDLE = 1
PACKAGE_REGISTRIES = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "proxy.golang" + ".org",
    "npmjs" + ".org",
    "crates" + ".io",
    "deb.debian" + ".org",
)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


TRACKED = tracked()
PYTHON = [name for name in TRACKED if name.endswith(".py")]


def imported(name: str) -> set[str]:
    """Full names of the modules that a Python file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_top_level_holds_only_what_the_design_names() -> None:
    assert {name.split("/")[0] for name in TRACKED} <= TOP_LEVEL


@pytest.mark.parametrize("name", [n for n in PYTHON if not n.startswith(("tests/", "lab/"))])
def test_nothing_imports_tests_or_lab(name: str) -> None:
    assert not {m for m in imported(name) if m.split(".")[0] in {"tests", "lab"}}


def test_no_test_imports_another_test_or_a_conftest() -> None:
    tests = [name for name in PYTHON if name.startswith("tests/")]
    imports = {(name, module) for name in tests for module in imported(name)}
    assert not [(name, module) for name, module in imports if re.search(r"(^|\.)(test_\w+|conftest)$", module)]


@pytest.mark.parametrize("name", [n for n in PYTHON if n.startswith("lab/")])
def test_the_lab_does_not_import_tests(name: str) -> None:
    assert not {m for m in imported(name) if m.split(".")[0] == "tests"}


@pytest.mark.parametrize("name", [n for n in PYTHON if n.startswith("python/")])
def test_the_runtime_depends_on_nothing_else_here(name: str) -> None:
    others = {"ansible", "images", "inventory", "pulumi", "qwen_stack"}
    assert not {m for m in imported(name) if m.split(".")[0] in others}


@pytest.mark.parametrize("name", [n for n in PYTHON if n.startswith("images/")])
def test_image_tools_use_only_templates_and_yaml(name: str) -> None:
    third_party = {m.split(".")[0] for m in imported(name)} & {"ansible", "pulumi", "requests", "torch"}
    assert not third_party
    # The name of a site's registry has one form, for all who read it; these modules need the standard library alone.
    shared = {m for m in imported(name) if m.startswith("qwen_runtime.")}
    assert not {m for m in shared if m.split(".")[1] not in {"errors", "site_registry"}}


def layer(module: str) -> int:
    """Layer of a dotted module below qwen_runtime."""
    return LAYERS.get(module.split(".")[0], MIDDLE)


@pytest.mark.parametrize("name", [n for n in PYTHON if n.startswith("python/src/qwen_runtime/")])
def test_runtime_modules_import_downwards(name: str) -> None:
    own = Path(name).relative_to("python/src/qwen_runtime").parts[0].removesuffix(".py")
    below = {m.removeprefix("qwen_runtime.") for m in imported(name) if m.startswith("qwen_runtime.")}
    known = modules_of_runtime()
    upwards = {m for m in below if m.split(".")[0] in known and layer(m) > layer(own)}
    assert own == "__init__" or not upwards


def modules_of_runtime() -> set[str]:
    prefix = "python/src/qwen_runtime/"
    return {n.removeprefix(prefix).split("/")[0].removesuffix(".py") for n in PYTHON if n.startswith(prefix)}


@pytest.mark.parametrize("name", [n for n in TRACKED if n.startswith(PRODUCTION)])
def test_production_parts_never_ask_whether_they_are_in_the_lab(name: str) -> None:
    # A stack's settings name its site's registry, and that is a site's own business.
    if re.fullmatch(r"pulumi/Pulumi\.\w+\.yaml", name):
        return
    # A source's address is its owner's business too.
    lines = re.sub(r"https?://\S+", "", (ROOT / name).read_text()).splitlines()
    assert not [line for line in lines if re.search(r"(?<![a-z])lab(?![a-z])", line, re.IGNORECASE)]


@pytest.mark.parametrize("name", [n for n in TRACKED if not n.startswith(GENERATED) and not n.endswith(GENERATED)])
def test_files_are_small_texts_that_name_no_machine(name: str) -> None:
    data = (ROOT / name).read_bytes()
    assert len(data) < LARGEST_BYTES
    assert b"\0" not in data, "a binary file"
    text = data.decode()
    limit = next(lines for prefix, lines in LONGEST_LINES.items() if name.startswith(prefix))
    assert text.count("\n") <= limit
    assert not [host for host in PACKAGE_REGISTRIES if host in text]
    assert not re.search(r"(?<![\w.$}/])/" + "work/", text), "a path of one machine"


# Steps of mirror/ from the facts to the command: one imports from its own room and from lower ones.
MIRROR_ROOMS = {"item": 0, "systems": 0, "upstream": 0, "site": 1, "tools": 1, "needs": 2, "carry": 2}
MIRROR_ROOMS |= {"fill": 3, "bring": 3, "check": 3, "site_options": 3, "vouch": 4, "contents": 4}
MIRROR_ROOMS |= {"folder_commands": 5, "site_commands": 6, "command": 7}


@pytest.mark.parametrize("name", [n for n in PYTHON if re.match(r"mirror/\w+[/.]", n) and n != "mirror/__init__.py"])
def test_rooms_of_the_mirror_import_downwards(name: str) -> None:
    own = Path(name).parts[1].removesuffix(".py")
    others = rooms_imported(name) - {own}
    assert not {room for room in others if MIRROR_ROOMS[room] >= MIRROR_ROOMS[own]}


def rooms_imported(name: str) -> set[str]:
    """Rooms of mirror/ that a file of it imports from, by `mirror.ROOM` or from the top by `.ROOM`."""
    is_top = name.count("/") == 1
    rooms: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                rooms |= {module or alias.name for alias in node.names} if is_top else set()
            elif module == "mirror":
                rooms |= {alias.name for alias in node.names}
            elif module.startswith("mirror."):
                rooms.add(module.removeprefix("mirror."))
    return {room.partition(".")[0] for room in rooms}
