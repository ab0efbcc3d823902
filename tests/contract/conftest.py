"""Who answers: the serving environment is asked where it is, by its own Python.

`make contract` installs it on this machine from the wheels of the runtime image; beside a lab that is up, one of its
model servers answers.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.paths import KUBECONFIG
from lab.serving import ENVIRONMENT

Ask = Callable[[Path, Any], Any]


@pytest.fixture(scope="session")
def ask(request: pytest.FixtureRequest) -> Ask:
    """Run a script with its questions; both they and its answer, the last line of stdout, are JSON."""
    python = ENVIRONMENT / "bin/python"
    if python.exists():

        def run(script: Path, questions: str) -> str:
            done = subprocess.run([python, script, questions], text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr[-4000:]
            return done.stdout

    elif KUBECONFIG.exists():
        kubectl: Callable[..., str] = request.getfixturevalue("kubectl")
        inside = ("--namespace", "qwen", "exec", "deployment/model-server", "--", "python", "-c")

        def run(script: Path, questions: str) -> str:
            return kubectl(*inside, script.read_text(), questions)

    else:
        pytest.skip("no serving environment on this machine: `make contract` installs one, `make up` runs one")
    return lambda script, questions: json.loads(run(script, json.dumps(questions)).splitlines()[-1])
