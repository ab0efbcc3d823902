"""VictoriaLogs and its collectors in the lab's stack, for the tests of this folder. `make logs` builds them first."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from lab.cluster import stack
from lab.commands import logs
from lab.paths import BIN, KUBECONFIG

Lines = list[dict[str, Any]]


@pytest.fixture(scope="session")
def search() -> Iterator[Callable[[str], Lines]]:
    """The lines that a query finds, while the stack keeps logs; afterwards it is as before."""
    kept = stack.CONFIG.read_text()
    settings = yaml.safe_load(kept)
    settings["config"]["qwen-onprem:images"] |= logs.references()
    settings["config"]["qwen-onprem:logs"] = {"storageLimit": "1Gi"}
    stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
    forward = ("--namespace", stack.NAMESPACE, "port-forward", "service/logs", ":9428")
    try:
        stack.up()
        stack.wait()
        with subprocess.Popen(
            [BIN / "kubectl", "--kubeconfig", KUBECONFIG, *forward], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            port = process.stdout.readline().split()[2].rpartition(":")[2]
            try:
                yield lambda query: ask(port, query)
            finally:
                process.terminate()
    finally:
        stack.CONFIG.write_text(kept)
        stack.up()


def ask(port: str, query: str) -> Lines:
    asked = urllib.parse.urlencode({"query": query}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/select/logsql/query", asked, timeout=30) as answer:
        return [json.loads(line) for line in answer]
