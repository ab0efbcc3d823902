"""The cluster measures its endpoint by its monthly job, keeps the result, shows it, and calls about a worse month."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import stack
from lab.cluster.stack import NAMESPACE
from lab.paths import BIN, KUBECONFIG
from tests.fakes import results
from tests.support.waiting import wait_until

Kubectl = Callable[..., str]
HARDWARE = "the lab's two cores"
PROMETHEUS = "http://127.0.0.1:9090"
JOB = "measured-by-hand"
# As the page for a site says, smaller: the model is small and slow.
EVALUATION = {
    "key": "lab",
    "hardware": HARDWARE,
    "toolTokens": 32,
    "load": ["--load", "chat", "--scale", "0.05", "--users", "2", "--sessions", "8", "--own-delay-s", "5"],
}
SERVER = "http://127.0.0.1:9108"
SEND = f"import sys, urllib.request as u; print(u.urlopen('{SERVER}/results', sys.stdin.buffer.read()).status)"
READ = f"import urllib.request as u; print(u.urlopen('{SERVER}/history.csv').read().decode())"


@pytest.fixture(scope="module")
def measured() -> Iterator[None]:
    """The stack with its monthly measurement; afterwards it is as before."""
    kept = stack.CONFIG.read_text()
    settings = yaml.safe_load(kept)
    settings["config"]["qwen-onprem:evaluation"] = EVALUATION
    stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        stack.up()
        stack.wait()
        yield
    finally:
        stack.CONFIG.write_text(kept)
        stack.up()
        stack.wait()


def in_history(program: str, content: bytes = b"") -> str:
    """Output of a program in the history's pod, where its port can be reached."""
    kubectl = [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE]
    command = ["exec", "--stdin", "deployment/evaluation-history", "--", "python3", "-c", program]
    done = subprocess.run([*kubectl, *command], input=content, capture_output=True, check=True)
    return done.stdout.decode()


def series(query: str) -> list[dict[str, Any]]:
    """Labels of the series that a query finds now."""
    asked = f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return [found["metric"] for found in json.load(answer)["data"]["result"]]


def of_month(folder: Path, lost: int, days_old: float) -> bytes:
    """A result of HumanEval that another machine sends to the history."""
    return Path(results.humaneval(folder / "month.json", lost=lost, days_old=days_old)).read_bytes()


def ended(kubectl: Kubectl) -> str | None:
    """Condition in which the job ended; None while it runs."""
    status = json.loads(kubectl("--namespace", NAMESPACE, "get", "job", JOB, "--output=json"))["status"]
    ends = [one["type"] for one in status.get("conditions", []) if one["status"] == "True"]
    return next((end for end in ends if end in {"Complete", "Failed"}), None)


def test_the_job_measures_keeps_and_shows_and_a_worse_month_calls(
    measured: None, kubectl: Kubectl, tmp_path: Path
) -> None:
    for lost, days_old in ((32, 60), (33, 30), (80, 0)):
        assert "201" in in_history(SEND, of_month(tmp_path, lost, days_old))

    begun = datetime.now(timezone.utc) - timedelta(seconds=1)
    kubectl("--namespace", NAMESPACE, "create", "job", JOB, "--from=cronjob/evaluation")
    end = wait_until(lambda: ended(kubectl), "the end of the measurement", 420)
    logs = [
        kubectl("--namespace", NAMESPACE, "logs", f"job/{JOB}", "--container", step)
        for step in ("tools", "bench", "send")
    ]
    assert end == "Complete", logs
    print(*logs, sep="\n")

    kept = [line for line in in_history(READ).splitlines() if HARDWARE in line]
    assert {line.split(",")[1] for line in kept} == {"tools", "bench"}
    assert all(datetime.fromisoformat(line.split(",")[0]) > begun for line in kept)

    shown = f'qwen_evaluation_figure{{hardware="{HARDWARE}"}}'
    wait_until(lambda: len(series(shown)) == len(kept), "the figures in Prometheus")
    fired = 'ALERTS{alertname="EvaluationRegressed",alertstate="firing"}'
    [alert] = wait_until(lambda: series(fired), "the alert about the worse month", 420)
    assert (alert["kind"], alert["name"]) == ("humaneval", "pass_at_1")
