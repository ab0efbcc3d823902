"""Proxies in front of one engine: the gateway as it is rendered, and others beside which it is measured."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen_stack.settings.stack import Gateway, GatewayLimits, KeyLimits
from qwen_stack.specs import limits as limit_specs
from qwen_stack.specs.gateway.upstreams import buffer_bytes
from tests.gateway.site import KEY, ONE, TWO, accepts, running
from tests.support.ports import free_port
from tests.support.waiting import wait_until

# What 262,144 tokens need, the context of the model that this bundle exists for.
SETTINGS = Gateway(max_body_bytes=4_194_304, max_connections=512)
MODEL = "tiny"
HAPROXY = """\
global
  nbthread {threads}
  tune.bufsize {buffer}
  maxconn {connections}
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend api
  bind 127.0.0.1:{port}
  option http-buffer-request
  default_backend engines
backend engines
  balance leastconn
  retry-on conn-failure empty-response response-timeout 503
  retries 1
  option redispatch 1
  server one {one}:{engine} check
  server two {two}:{engine} check
"""


@dataclass(frozen=True, slots=True)
class Arm:
    """The thing that clients ask: its port, and the process whose work counts; none without a proxy."""

    port: int
    pid: int | None = None


def bare_envoy(port: int, engine: int) -> str:
    """Envoy that forwards, and nothing else."""
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": engine}}}} for host in (ONE, TWO)
    ]
    kind = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "api",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "api",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "engines", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "api",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    cluster = {
        "name": "engines",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "engines", "endpoints": [{"lb_endpoints": hosts}]},
    }
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})


@contextlib.contextmanager
def process(log: Path, port: int, *command: object) -> Iterator[Arm]:
    with log.open("wb") as output:
        started = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output)
    try:
        wait_until(lambda: accepts("127.0.0.1", port), f"a proxy on port {port}; its log: {log}")
        yield Arm(port, started.pid)
    finally:
        started.terminate()
        started.wait()


@contextlib.contextmanager
def direct(scratch: Path, engine: int) -> Iterator[Arm]:
    yield Arm(engine)


@contextlib.contextmanager
def gateway(scratch: Path, engine: int) -> Iterator[Arm]:
    """The gateway of a stack with two models, keys, body limit, retries, checks and logs."""
    with running(scratch, SETTINGS, model_port=engine, health_port=engine) as site:
        (site.folder / "models").write_text(f"{ONE}\n{TWO}")
        wait_until(lambda: site.model_servers() == 2, "two replicas that are ready")
        yield Arm(site.api_port, site.gateway.pid)


@contextlib.contextmanager
def limited(scratch: Path, engine: int, slots: int = 1000) -> Iterator[Arm]:
    """The gateway and its limiter. Its keys reach no limit but that of the engine's slots."""
    many = KeyLimits(in_flight=1000, requests_per_minute=10**6, tokens_per_minute=10**9)
    limits = GatewayLimits(default=many, requests_per_replica={MODEL: slots}, queue_requests=1000, queue_seconds=60)
    (scratch / "limits.json").write_text(limit_specs.file(limits, {MODEL: "127.0.0.1"}))
    (scratch / "limits").write_text("127.0.0.1")
    port, ends_port = free_port(), free_port()
    command = (sys.executable, "-m", "qwen_runtime", "limits", "--file", scratch / "limits.json")
    settings = SETTINGS.model_copy(update={"limits": limits})
    ports = {"model_port": engine, "health_port": engine, "limits_port": port, "ends_port": ends_port}
    with (
        process(scratch / "log", port, *command, "--host", "127.0.0.1", "--port", port, "--ends-port", ends_port),
        running(scratch, settings, **ports) as site,
    ):
        (site.folder / "models").write_text(f"{ONE}\n{TWO}")
        wait_until(lambda: site.model_servers() == 2, "two replicas that are ready")
        yield Arm(site.api_port, site.gateway.pid)


@contextlib.contextmanager
def envoy(scratch: Path, engine: int) -> Iterator[Arm]:
    port = free_port()
    (scratch / "envoy.json").write_text(bare_envoy(port, engine))
    options = ("--concurrency", SETTINGS.threads, "--disable-hot-restart", "--log-level", "warning")
    with process(scratch / "log", port, "envoy", "--config-path", scratch / "envoy.json", *options) as arm:
        yield arm


@contextlib.contextmanager
def haproxy(scratch: Path, engine: int) -> Iterator[Arm]:
    """HAProxy that can repeat the largest request: it keeps a buffer of that size for every request."""
    port = free_port()
    (scratch / "haproxy.cfg").write_text(
        HAPROXY.format(
            threads=SETTINGS.threads,
            buffer=buffer_bytes(SETTINGS),
            connections=SETTINGS.max_connections,
            port=port,
            engine=engine,
            one=ONE,
            two=TWO,
        )
    )
    with process(scratch / "log", port, "haproxy", "-db", "-f", scratch / "haproxy.cfg") as arm:
        yield arm


@contextlib.contextmanager
def vllm_router(scratch: Path, engine: int) -> Iterator[Arm]:
    """The vLLM project's own router (vllm-router on PyPI), which hashes sessions and keeps bodies for repetitions."""
    port = free_port()
    workers = ("--worker-urls", f"http://{ONE}:{engine}", f"http://{TWO}:{engine}", "--policy", "consistent_hash")
    options = ("--port", port, "--prometheus-port", free_port(), "--log-level", "warning")
    with process(scratch / "log", port, "vllm-router", *workers, *options) as arm:
        yield arm


ARMS: dict[str, Callable[[Path, int], contextlib.AbstractContextManager[Arm]]] = {
    "direct": direct,
    "gateway": gateway,
    "limited": limited,
    "envoy": envoy,
    "haproxy": haproxy,
    "vllm-router": vllm_router,
}


def available() -> list[str]:
    """Arms whose program is on PATH."""
    return [name for name in ARMS if name in ("direct", "gateway", "limited") or shutil.which(name)]


HEADERS = {"Authorization": f"Bearer {KEY}"}
