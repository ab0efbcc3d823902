"""The engine that answers: the model server of a lab that is up, in the served image, or an environment here.

`make up` runs the one; `make contract` installs the other on this machine from the wheels of the runtime image.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.stack import NAMESPACE
from lab.commands.serving import ENVIRONMENT
from lab.paths import BIN, KUBECONFIG

Ask = Callable[[Path, Any], Any]


# Questions are too long for arguments that travel in an address.
INSIDE = """
import json, sys
script, questions = json.load(sys.stdin)
sys.argv = ["script", questions]
exec(compile(script, "script", "exec"), {"__name__": "__main__"})
"""


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Run a script with its questions; both they and its answer, the last line of stdout, are JSON."""
    python = ENVIRONMENT / "bin/python"
    command: list[str | Path]
    if KUBECONFIG.exists():
        command = [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE]
        command += ["exec", "--stdin", "deployment/model-server", "--", "python", "-c", INSIDE]
    elif python.exists():
        command = [python, "-c", INSIDE]
    else:
        pytest.skip("no serving environment on this machine: `make contract` installs one, `make up` runs one")

    def run(script: Path, questions: Any) -> Any:
        sent = json.dumps([script.read_text(), json.dumps(questions)])
        done = subprocess.run(command, input=sent, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
