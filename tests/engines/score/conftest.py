"""Tiny models of the families, what a plain pass says of a few lines, and the command that scores them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime import weights

from lab.commands.serving import ENVIRONMENT
from lab.paths import REPO
from tests.fakes import no_compilers

PYTHON = ENVIRONMENT / "bin/python"
SOURCE = REPO / "python/src"
QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCE)}
LINES = [
    {"text": "Stages hand activations on."},
    {"prompt": "A layer a", "continuation": " stage"},
    {"text": "x"},
    {"prompt": "def add(a, b):\n    return", "continuation": " a + b\n"},
    {"text": "Nothing is recomputed, and nothing is kept: a text is one pass from the first layer to the last."},
    {"prompt": "Grüße aus", "continuation": " Köln"},
]


@dataclass(frozen=True, slots=True)
class Models:
    place: Path
    """Holds a directory for each family."""
    log_likelihoods: dict[str, list[float]]
    """By family, for each of LINES."""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    errors: str
    found: dict[str, Any] | None
    """What the output file holds; None where there is none."""


Score = Callable[..., Outcome]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    place = tmp_path_factory.mktemp("families")
    command = [PYTHON, Path(__file__).with_name("reference.py"), place, json.dumps(LINES)]
    said = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env={**os.environ, **QUIET}).stdout
    found = json.loads(said.splitlines()[-1])
    for family in found:
        weights.write_manifest(place / family, family, "random-1")
    return Models(place, found)


@pytest.fixture
def start(models: Models, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command on its way, with LINES as its input and tmp_path/output.json as its output."""
    source, output = tmp_path / "input.jsonl", tmp_path / "output.json"
    source.write_text("".join(json.dumps(line) + "\n" for line in LINES))

    def begin(family: str, *flags: object) -> subprocess.Popen[str]:
        files = ("--model", models.place / family, "--input", source, "--output", output)
        command = [PYTHON, "-m", "qwen_runtime", "score", *files, "--dtype", "float32", "--batch-tokens", 64, *flags]
        # As in the runtime image, which has no compiler.
        environment = {**os.environ, **QUIET, "PATH": no_compilers.path()}
        return subprocess.Popen([str(word) for word in command], env=environment, text=True, stderr=subprocess.PIPE)

    return begin


@pytest.fixture
def score(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Score:
    """Runs the command to its end."""
    output = tmp_path / "output.json"

    def run(family: str, *flags: object) -> Outcome:
        output.unlink(missing_ok=True)
        process = start(family, *flags)
        _, errors = process.communicate()
        found = json.loads(output.read_bytes()) if output.exists() else None
        return Outcome(process.returncode, errors, found)

    return run
