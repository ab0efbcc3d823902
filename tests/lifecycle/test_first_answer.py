"""The README's first two commands: a server without a cluster, and an answer from it."""

from __future__ import annotations

import subprocess

from lab.paths import REPO
from tests.support.ports import free_port


def test_one_command_serves_and_another_gets_an_answer() -> None:
    port = free_port()
    with subprocess.Popen(
        ["make", "serve", f"PORT={port}"], cwd=REPO, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        try:
            assert server.stdout is not None
            assert any('"event": "ready"' in line for line in server.stdout), "its log ended before it was ready"
            chat = ["make", "chat", f"PORT={port}", "QUESTION=What is the capital of France?"]
            answer = subprocess.run(chat, cwd=REPO, check=True, capture_output=True, text=True).stdout
            assert "Paris" in answer
        finally:
            subprocess.run(["kill", "-INT", "--", f"-{server.pid}"], check=False)
            for _ in server.stdout or ():
                pass  # read the rest of its log, so that it can end
