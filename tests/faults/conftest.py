"""Readings of the lab's GPUs, which tests set."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.cluster.stack import NAMESPACE
from tests.faults.alert_receiver import Kubectl
from tests.faults.gpus import Gpus, Readings

EXPORTER = "dcgm-exporter"
# The exporter's stand-in takes readings at a port of its own, inside its pod.
PUT = r"""
exec 3<>/dev/tcp/127.0.0.1/9401
printf '%s /gpus HTTP/1.0\r\nContent-Length: %s\r\n\r\n%s' "$1" "${#2}" "$2" >&3
cat <&3
"""


@pytest.fixture
def gpus(kubectl: Kubectl) -> Iterator[Gpus]:
    """Sets the readings of all GPUs; afterwards they are as before."""

    def say(method: str, body: str = "") -> str:
        pod = f"daemonset/{EXPORTER}"
        return kubectl("--namespace", NAMESPACE, "exec", pod, "--", "bash", "-c", PUT, "say", method, body)

    readings: Readings = json.loads(say("GET").partition("\n\n")[2])

    def put(changed: Readings) -> None:
        """Readings of each GPU by its changes; a GPU beyond the list is lost."""
        assert "204" in say("PUT", json.dumps([{**one, **of} for one, of in zip(readings, changed, strict=False)]))

    yield put
    put([{}] * len(readings))
