"""Tiny models of the families, their plain scores of a few lines, and the command that scores them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime import weights

from tests.fakes import no_compilers
from tests.support.processes import SOURCE
from tests.support.scoring import LINES, Models, Outcome, Score
from tests.support.server import PYTHON

QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCE)}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make contract` installs one")
    folder = tmp_path_factory.mktemp("families")
    command = [PYTHON, Path(__file__).with_name("reference.py"), folder, json.dumps(LINES)]
    output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env={**os.environ, **QUIET}).stdout
    log_likelihoods = json.loads(output.splitlines()[-1])
    for family in log_likelihoods:
        weights.write_manifest(folder / family, family, "random-1")
    return Models(folder, log_likelihoods)


@pytest.fixture
def start(models: Models, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command, with LINES as its input and tmp_path/output.json as its output."""
    source, output = tmp_path / "input.jsonl", tmp_path / "output.json"
    source.write_text("".join(json.dumps(line) + "\n" for line in LINES))

    def begin(family: str, *flags: object) -> subprocess.Popen[str]:
        files = ("--model", models.folder / family, "--input", source, "--output", output)
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
        document = json.loads(output.read_bytes()) if output.exists() else None
        return Outcome(process.returncode, errors, document)

    return run
