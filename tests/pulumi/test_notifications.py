"""A real Alertmanager with the stack's configuration: a cause is sent, what follows is not, and two send once."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
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
    send(address, [{"alertname": name, **labels} for name in names], ended)


def send(address: str, fired: Sequence[dict[str, str]], ended: bool = False) -> None:
    """Alerts as Prometheus posts them; `ended` ones are over."""
    at = {"endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} if ended else {}
    alerts = [{"labels": labels, **at} for labels in fired]
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


def alert(alertname: str, /, **labels: str) -> dict[str, str]:
    return {"alertname": alertname, **labels}


GPU, OTHER = ({"node": "gpu1", "gpu": gpu} for gpu in "01")
SERVER, CONTROL_PLANE = {"server": "m"}, {"node": "cp1"}
NEWS = alert("GpuNeedsReset", node="gpu9", gpu="7")
"""Fault that no other explains."""
# What speaks for each cause, and all else that fires with it.
STORIES: dict[str, tuple[tuple[str, ...], list[dict[str, str]]]] = {
    "a host with the only gateway, the only replicas and the only GPUs": (
        ("HostDown", "NoGateway", "NoReadyReplica"),
        [
            alert("HostDown", node="gpu1"),
            alert("HostVanished", node="gpu1"),
            *(alert("TargetsVanished", job=job) for job in ("gateway", "dcgm-exporter", "model-server", "supervisor")),
            alert("NoGateway"),
            alert("NoReadyReplica", **SERVER),
            alert("ReplicasMissing", **SERVER),
            alert("GatewayErrors"),
        ],
    ),
    "a control plane of one host": (
        ("HostDown",),
        [*(alert(name, **CONTROL_PLANE) for name in ("HostDown", "ApiDown", "EtcdDown")), alert("RepairBlind")],
    ),
    "a kubelet that ends again and again": (
        ("KubeletDown",),
        [
            alert("KubeletDown", node="gpu1"),
            alert("HostServiceFailed", node="gpu1", name="kubelet.service"),
            alert("HostVanished", node="gpu1"),
            alert("ReplicasMissing", **SERVER),
        ],
    ),
    "the fabric manager beside a kubelet": (
        ("HostServiceFailed", "KubeletDown"),
        [
            alert("KubeletDown", node="gpu1"),
            alert("HostServiceFailed", node="gpu1", name="nvidia-fabricmanager.service"),
        ],
    ),
    "the only API server": (("ApiDown",), [alert("ApiDown", **CONTROL_PLANE), alert("RepairBlind")]),
    "etcd without a leader": (
        ("EtcdNoLeader",),
        [*(alert(name, **CONTROL_PLANE) for name in ("EtcdNoLeader", "ApiDown", "ApiErrors")), alert("RepairBlind")],
    ),
    "a row of memory that cannot be remapped": (
        ("GpuRowRemapFailed",),
        [alert(name, **GPU) for name in ("GpuRowRemapFailed", "GpuNeedsReset", "GpuMemoryError", "GpuRowsRemapped")],
    ),
    "heat": (
        ("GpuHot", "GpuThrottled"),
        [alert("GpuHot", **GPU), *(alert("GpuThrottled", **gpu) for gpu in (GPU, OTHER))],
    ),
    "an engine that never starts": (
        ("NoReadyReplica",),
        [
            *(alert(name, **SERVER) for name in ("NoReadyReplica", "EngineRestarts", "EngineRestarted")),
            alert("GatewayErrors"),
            alert("ErrorBudgetBurnsFast", slo="availability"),
            alert("TargetsVanished", job="model-server"),
        ],
    ),
    "a request that ends every engine": (
        ("EnginesDieTogether",),
        [
            alert(name, **SERVER)
            for name in ("EnginesDieTogether", "NoReadyReplica", "EngineRestarted", "ReplicasMissing")
        ],
    ),
    "errors of all replicas": (
        ("ErrorBudgetBurnsFast",),
        [
            alert("ErrorBudgetBurnsFast", slo="availability"),
            alert("ErrorBudgetBurnsSlowly", slo="availability"),
            alert("GatewayErrors"),
        ],
    ),
    "slow answers beside errors": (
        ("ErrorBudgetBurnsFast", "GatewayErrors"),
        [alert("ErrorBudgetBurnsFast", slo="first_token", model_name="m"), alert("GatewayErrors")],
    ),
    "the limiter": (("LimiterAway",), [alert("LimiterAway", instance="g"), alert("TargetsVanished", job="limits")]),
    "the repair controller while gateways are missing": (
        ("GatewaysMissing", "TargetsVanished"),
        [alert("TargetsVanished", job="repair"), alert("GatewaysMissing")],
    ),
    "a full volume of Prometheus": (
        ("MeasurementsNotKept",),
        [alert("MeasurementsNotKept"), alert("TargetsVanished", job="gateway")],
    ),
}


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, settings: Any) -> Iterator[str]:
    """Address of an Alertmanager that nobody listens to."""
    folder = tmp_path_factory.mktemp("silent") / "one"
    with running(folder, settings, Hook("http://127.0.0.1:9/", queue.Queue())) as address:
        yield address


def speaking(address: str) -> list[str]:
    """Names of the alerts that nothing silences, each once."""
    url = f"http://{address}/api/v2/alerts?inhibited=false"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return sorted({one["labels"]["alertname"] for one in json.load(answer)})


@ALERTMANAGER
@pytest.mark.parametrize("cause", STORIES)
def test_one_cause_calls_once(silent: str, cause: str) -> None:
    called, fired = STORIES[cause]
    everything = [*fired, NEWS]
    send(silent, everything)
    wanted = sorted({*called, NEWS["alertname"]})
    try:
        wait_until(lambda: speaking(silent) == wanted, f"{wanted} alone", PATIENCE_S)
    except AssertionError as other:
        raise AssertionError(f"{cause}: {speaking(silent)} instead of {wanted}") from other
    finally:
        send(silent, everything, ended=True)
        wait_until(lambda: speaking(silent) == [], "an end of everything", PATIENCE_S)


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
