"""Fixtures of the tests against a lab that is up, and the one list of tests that take minutes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import openai
import pytest

from lab.cluster.ask import ENDPOINT
from lab.paths import API_KEY, BIN, KUBECONFIG, SUMMARY

# A shell ignores Ctrl-C for commands in the background, and every process that these start inherits that. Tests need it
# as in a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
LONG = (
    "autoscaled/",
    "engines/test_agreement.py",
    "engines/test_burn.py",
    "engines/test_faults.py",
    "engines/test_keys.py",
    "engines/test_warm.py",
    "engines/transformers/test_contract.py",
    "engines/transformers/test_ranks.py",
    "engines/transformers/test_trouble.py",
    "engines/vllm/",
    "faults/test_alerts_fire.py",
    "faults/test_canary.py",
    "faults/test_full_volume_of_prometheus.py",
    "faults/test_gateway_certificate.py",
    "faults/test_group_of_pods.py",
    "faults/test_host_comes_and_goes.py",
    "faults/test_host_dies_mid_join.py",
    "faults/test_monthly_measurement.py",
    "faults/test_repair_acting.py",
    "faults/test_rolling_change.py",
    "faults/test_slow_alerts_of_hosts.py",
    "faults/test_slow_alerts_of_serving.py",
    "lifecycle/test_bundle.py",
    "lifecycle/test_large_layer.py",
    "logs/",
)
"""`make test` leaves these out; `make contract`, `make autoscaling`, `make logs` and `make faults` do not."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") and (missing := missing_gpu()):
            item.add_marker(pytest.mark.skip(reason=missing))
        if item.path.relative_to(TESTS).as_posix().startswith(LONG):
            item.add_marker(pytest.mark.long)


@cache
def missing_gpu() -> str | None:
    """The reason why tests marked `gpu` cannot run here; None where they can."""
    try:
        subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "nvidia-smi shows no GPU on this machine"
    return None


@pytest.fixture(scope="session")
def summary() -> dict[str, Any]:
    """Summary of the last `make up`."""
    return json.loads(SUMMARY.read_text())


@pytest.fixture(scope="session")
def model(summary: dict[str, Any]) -> str:
    return summary["model"]


@pytest.fixture(scope="session")
def client() -> openai.OpenAI:
    return openai.OpenAI(base_url=ENDPOINT, api_key=API_KEY.read_text().strip(), max_retries=0, timeout=120)


@pytest.fixture(scope="session")
def kubectl() -> Callable[..., str]:
    def run(*arguments: str) -> str:
        return subprocess.run(
            [BIN / "kubectl", "--kubeconfig", KUBECONFIG, *arguments], check=True, capture_output=True, text=True
        ).stdout

    return run
