"""A real Alertmanager with the stack's configuration: a cause is sent, what follows is not, and two send once."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen_stack.specs.monitoring import alertmanager
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.web import webhook

PROGRAM = "prometheus-alertmanager"
ALERTMANAGER = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not on PATH: apt-get install {PROGRAM}"
)
PATIENCE_S, PEER_TIMEOUT_S = 60, 3
Sent = queue.Queue[tuple[str, str]]


class Hook:
    """Status and name of every alert that was sent, in the order of arrival."""

    def __init__(self, url: str, sent: Sent) -> None:
        self.url, self.sent = url, sent

    def next(self) -> tuple[str, str]:
        return self.sent.get(timeout=PATIENCE_S)


@pytest.fixture
def hook() -> Iterator[Hook]:
    sent: Sent = queue.Queue()

    def take(body: dict[str, Any]) -> None:
        for alert in body["alerts"]:
            sent.put((alert["status"], alert["labels"]["alertname"]))

    with webhook(take) as port:
        yield Hook(f"http://127.0.0.1:{port}/", sent)


@contextlib.contextmanager
def running(folder: Path, settings: Any, hook: Hook, peers: tuple[str, ...] = ()) -> Iterator[str]:
    """Address of an Alertmanager that collects alerts for a second instead of ten."""
    monitoring = settings.monitoring.model_copy(update={"alert_webhook_url": hook.url})
    text = alertmanager.alertmanager_config(monitoring).replace("group_wait: 10s", "group_wait: 1s")
    folder.mkdir()
    (folder / "alertmanager.yml").write_text(text.replace("group_interval: 1m", "group_interval: 1s"))
    address = f"127.0.0.1:{free_port()}"
    command = [PROGRAM, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data"]
    command += [f"--web.listen-address={address}", *(peers or ("--cluster.listen-address=",))]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: _ready(address), f"Alertmanager's answer: {(folder / 'log').read_text()}", PATIENCE_S)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _ready(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def post(address: str, *names: str, ended: bool = False, **labels: str) -> None:
    """Alerts as Prometheus posts them; `ended` ones are over."""
    at = {"endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} if ended else {}
    alerts = [{"labels": {"alertname": name, **labels}, **at} for name in names]
    request = urllib.request.Request(f"http://{address}/api/v2/alerts", json.dumps(alerts).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


@ALERTMANAGER
def test_a_dead_host_calls_once_and_its_end_is_told(tmp_path: Path, settings: Any, hook: Hook) -> None:
    with running(tmp_path / "one", settings, hook) as address:
        post(address, "HostVanished", node="gpu1")
        post(address, "ReplicasMissing", server="model-server")
        post(address, "GpuLost", node="gpu1")
        # Another host's fault is news.
        post(address, "GpuLost", node="gpu2")
        assert {hook.next(), hook.next()} == {("firing", "HostVanished"), ("firing", "GpuLost")}
        post(address, "HostVanished", node="gpu1", ended=True)
        # What the host had silenced is told, once nothing explains it any more.
        said = sorted(hook.next() for _ in range(3))
        assert said == [("firing", "GpuLost"), ("firing", "ReplicasMissing"), ("resolved", "HostVanished")]


@ALERTMANAGER
@pytest.mark.parametrize(("job", "news"), [("gateway", {"GpuLost"}), ("repair", {"GatewaysMissing", "GpuLost"})])
def test_missing_gateways_are_silenced_by_their_own_targets_alone(
    tmp_path: Path, settings: Any, hook: Hook, job: str, news: set[str]
) -> None:
    with running(tmp_path / "one", settings, hook) as address:
        post(address, "TargetsVanished", job=job)
        assert hook.next() == ("firing", "TargetsVanished")
        post(address, "GatewaysMissing")
        post(address, "GpuLost", node="gpu1")
        assert {hook.next() for _ in news} == {("firing", name) for name in news}
        assert hook.sent.empty()


@ALERTMANAGER
def test_the_watchdog_calls_nobody_who_has_not_asked_for_it(tmp_path: Path, settings: Any, hook: Hook) -> None:
    with running(tmp_path / "one", settings, hook) as address:
        post(address, "Watchdog")
        post(address, "GpuNeedsReset", node="gpu1", gpu="0")
        assert hook.next() == ("firing", "GpuNeedsReset")
        assert hook.sent.empty()


@ALERTMANAGER
def test_two_alertmanagers_send_an_alert_once(tmp_path: Path, settings: Any, hook: Hook) -> None:
    ports = [free_port(), free_port()]

    def meeting(own: int, other: int) -> tuple[str, ...]:
        listen, peer = f"--cluster.listen-address=127.0.0.1:{own}", f"--cluster.peer=127.0.0.1:{other}"
        return listen, peer, f"--cluster.peer-timeout={PEER_TIMEOUT_S}s", "--cluster.settle-timeout=5s"

    with (
        running(tmp_path / "one", settings, hook, meeting(*ports)) as first,
        running(tmp_path / "two", settings, hook, meeting(*reversed(ports))) as second,
    ):
        for address in (first, second):
            post(address, "GpuNeedsReset", node="gpu1", gpu="0")
        assert hook.next() == ("firing", "GpuNeedsReset")
        # The second one waits for the first, and would send now if it had not heard of it.
        time.sleep(2 * PEER_TIMEOUT_S)
        assert hook.sent.empty()
