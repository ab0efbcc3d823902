"""The wheel, built from the sources and installed into an environment with nothing else in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python"
# Imports what every command imports at its start, then prints the modules that are not in the standard library.
FOREIGN = """
import sys, qwen_runtime.cli
qwen_runtime.cli.build_parser()
known = {"qwen_runtime", "__main__", *sys.stdlib_module_names}
print(*sorted({name.partition(".")[0] for name in sys.modules} - known))
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment's commands."""
    folder = tmp_path_factory.mktemp("wheel")
    # Builds in a copy, because building leaves folders beside the sources.
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=folder / "source", check=True, stdout=subprocess.DEVNULL)
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [wheel] = folder.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", environment / "bin/python")
    subprocess.run([*pip, "install", "--no-index", "--no-compile", wheel], check=True)
    return environment / "bin"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Calls a command of the environment, from a folder that holds none of the sources."""
    return lambda name, *arguments: (
        subprocess.run(
            [installed / name, *map(str, arguments)],
            cwd=tmp_path,
            env={},
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        ).stdout
    )


def test_the_command_is_there_and_says_its_version(run: Run) -> None:
    assert run("qwen-runtime", "--version").strip() == run("python", "-m", "qwen_runtime", "--version").strip()


def test_it_plans(run: Run) -> None:
    arguments = ("--model", "Qwen3-Coder-480B-A35B-Instruct-FP8", "--gpu", "h100-80gb", "--gpus-per-node", 8, "--json")
    assert json.loads(run("qwen-runtime", "plan", *arguments))["fits"]


def test_it_verifies_weights(run: Run, model_dir: Path) -> None:
    assert "tiny test-1, 7 files" in run("qwen-runtime", "weights", "verify", model_dir, "--full")


def test_its_commands_need_the_standard_library_alone(run: Run) -> None:
    assert run("python", "-c", FOREIGN).strip() == ""
