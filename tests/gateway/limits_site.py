"""Two gateways on loopback that ask one limiter: real Envoys between a fake DNS and fake model servers."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_stack.settings.stack import GatewayLimits
from qwen_stack.specs import limits
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway import workload as specs
from qwen_stack.specs.gateway.routes import Route, Upstream
from tests.support.ports import free_port

from . import site as sites
from .site import CHAT, KEY, Site, accepts, eventually

FIRST, SECOND = KEY, KEY[::-1]
SOURCES = Path(__file__).resolve().parents[2] / "python/src"
SERIES = re.compile(r"^(\w+)\{(.*)\} ([\d.e-]+)$", re.MULTILINE)


@dataclasses.dataclass
class Pair:
    """The gateways are `one` and `two`; the first site has the models and DNS of both."""

    one: Site
    two: Site
    gateway: Any
    limits_port: int = dataclasses.field(default_factory=free_port)
    ends_port: int = dataclasses.field(default_factory=free_port)
    limiter: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.one.folder / limits.FILE

    def write_limits(self, **of: Any) -> None:
        self.file.with_suffix(".new").write_text(limits.file(GatewayLimits.model_validate(of), {"tiny": "127.0.0.1"}))
        self.file.with_suffix(".new").rename(self.file)

    def start_limiter(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        ports = ("--host", "127.0.0.1", "--port", str(self.limits_port), "--ends-port", str(self.ends_port))
        command = (sys.executable, "-m", "qwen_runtime", "limits", "--file", str(self.file), *ports)
        with self.one.log.open("ab") as log:
            self.limiter = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        eventually(lambda: accepts("127.0.0.1", self.limits_port))

    def stop_limiter(self) -> None:
        if self.limiter:
            self.limiter.kill()
            self.limiter.wait()

    def start_gateway(self, site: Site) -> subprocess.Popen[bytes]:
        route = Route(
            (Upstream("model-server", "tiny", "models.test", 2048, (CHAT, "/v1/responses", "/tokenize")),),
            upstream_port=self.one.model_port,
            health_port=self.one.health_port,
            api_port=site.api_port,
            metrics_port=site.metrics_port,
            admin_port=site.admin_port,
            config_dir=str(site.folder),
            keys_dir=str(site.folder),
            engine_key_dir=str(site.folder / "engine-key"),
            dns=("127.0.0.1", self.one.dns_port),
            limits_host="limits.test",
            limits_port=self.limits_port,
            ends_port=self.ends_port,
        )
        for name, text in gateway_config.files(self.gateway, route).items():
            (site.folder / name).write_text(text)
        site.write_engine_key(sites.ENGINE_KEY)
        site.write_keys({"default": FIRST, "second": SECOND})
        with site.log.open("ab") as log:
            environment = {**os.environ, "HOSTNAME": site.folder.name}
            command = specs.command(self.gateway, str(site.folder))
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        site.running.append(process)
        eventually(lambda: accepts("127.0.0.1", site.api_port))
        return process

    def knows_the_limiter(self, site: Site, healthy: bool = True) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", site.metrics_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return f'envoy_cluster_membership_healthy{{envoy_cluster_name="limits"}} {int(healthy)}\n' in text

    def series(self, name: str) -> dict[str, float]:
        """Values of one series of the limiter, by its labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.limits_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return {labels: float(value) for found, labels, value in SERIES.findall(text) if found == name}

    def in_flight(self) -> int:
        return int(sum(self.series("qwen_limits_in_flight").values()))


@contextlib.contextmanager
def running(folder: Path, gateway: Any, **of: Any) -> Iterator[Pair]:
    """Both gateways with the limits of `of`."""
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    one = Site(folder / "one")
    two = Site(folder / "two", model_port=one.model_port, health_port=one.health_port)
    pair = Pair(one, two, gateway.model_copy(update={"limits": GatewayLimits()}))
    pair.write_limits(**of)
    (one.folder / "limits").write_text("127.0.0.1")
    one.start(sys.executable, str(sites.FAKES / "dns_server.py"), str(one.dns_port), str(one.folder))
    try:
        pair.start_limiter()
        for site in (one, two):
            pair.start_gateway(site)
        one.add_model(sites.ONE, tokens=4, token_delay=0.1)
        for site in (one, two):
            eventually(lambda site=site: pair.knows_the_limiter(site))  # type: ignore[misc]
            eventually(lambda site=site: site.model_servers() == 1)  # type: ignore[misc]
        yield pair
    finally:
        processes = [*one.running, *two.running]
        for process in reversed(processes):
            process.terminate()
        pair.stop_limiter()
        for process in processes:
            process.wait(timeout=60)
