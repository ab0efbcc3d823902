"""A gateway on loopback for tests: the rendered configuration in a real Envoy, a fake DNS and fake model servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.engine.registry import servers

from qwen_stack.settings.tracing import Tracing
from qwen_stack.specs import engine_keys
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway import workload as specs
from qwen_stack.specs.gateway.routes import Route, Upstream
from tests.support.ports import free_port
from tests.support.stack_values import ENGINE_KEY as ENGINE_KEY
from tests.support.stack_values import KEY as KEY
from tests.support.waiting import wait_until

needs_envoy = pytest.mark.skipif(
    shutil.which("envoy") is None, reason="envoy is not on PATH: `python3 -m lab run` brings it"
)
FAKES = Path(__file__).resolve().parents[1] / "fakes"
ONE, TWO, THREE, FOUR = "127.0.71.1", "127.0.71.2", "127.0.71.3", "127.0.71.4"
CHAT = "/v1/chat/completions"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A gateway, its DNS and its model servers, all on loopback."""

    folder: Path
    api_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    model_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    dns_port: int = field(default_factory=free_port)
    tls_check_port: int = field(default_factory=free_port)
    limits_port: int = field(default_factory=free_port)
    ends_port: int = field(default_factory=free_port)
    models: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    variants: set[str] = field(default_factory=set)
    """Addresses of the models that are the variant."""
    leaving: set[str] = field(default_factory=set)
    """Addresses of the models that are ending: they answer, but are no longer listed."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    @property
    def accepted_keys(self) -> Path:
        """File of the keys that the models accept."""
        return self.folder / "accepted-keys"

    @property
    def gateway(self) -> subprocess.Popen[bytes]:
        return self.running[1]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Logged requests."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def write_keys(self, api_keys: dict[str, str]) -> None:
        """Replace the file of clients as the kubelet does: at once, by another file."""
        (self.folder / "clients.new").write_text(specs.clients_map(api_keys))
        (self.folder / "clients.new").rename(self.folder / "clients.map")

    def write_engine_key(self, key: str) -> None:
        """Let the gateway send this key."""
        mount(self.folder / "engine-key", key, {engine_keys.SENT_FILE: engine_keys.sent([key])})

    def write_weights(self, upstreams: tuple[Upstream, ...]) -> None:
        """Mount the weights of these entries, as the kubelet does."""
        files = gateway_config.weights(Route(upstreams))
        mount(self.folder / "weights", engine_keys.digests(list(files.values()))[:8], files)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def add_model(self, address: str, **options: float) -> None:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        ports = (f"--port={self.model_port}", f"--health-port={self.health_port}")
        keys = f"--keys={self.accepted_keys}"
        if not self.accepted_keys.exists():
            self.accepted_keys.write_text(engine_keys.digests([ENGINE_KEY]))
        command = (sys.executable, str(FAKES / "openai_backend.py"), f"--address={address}", keys, *ports, *flags)
        self.models[address] = self.start(*command)
        eventually(lambda: accepts(address, self.model_port))
        self.list_models()

    def list_models(self) -> None:
        """Write the answers of the headless services: the models that run."""
        running = {address for address, process in self.models.items() if process.poll() is None} - self.leaving
        (self.folder / "models").write_text("\n".join(running - self.variants))
        (self.folder / "variant").write_text("\n".join(running & self.variants))

    def set_ready(self, address: str, ready: bool) -> None:
        self._control(address, "POST", f"/fake/ready?{int(ready)}")

    def set_broken(self, address: str, broken: bool) -> None:
        """Let a model server end connections without an answer, though its health says that all is well."""
        self._control(address, "POST", f"/fake/broken?{int(broken)}")

    def left(self, address: str) -> int:
        """Clients that left a model server before their answer."""
        return int(self._control(address, "GET", "/fake/left"))

    def asked(self, address: str) -> int:
        """Requests that reached a model server, repetitions too."""
        return int(self._control(address, "GET", "/fake/asked"))

    def _control(self, address: str, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection(address, self.health_port, timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().read()

    def ask(
        self,
        path: str,
        body: Any = None,
        key: str | None = KEY,
        method: str | None = None,
        **headers: str,
    ) -> Answer:
        given = {**({"Authorization": f"Bearer {key}"} if key else {}), **headers}
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, payload, given)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    @contextlib.contextmanager
    def stream(self, timeout_s: float = 120, **body: Any) -> Iterator[http.client.HTTPResponse]:
        """Ask for a streamed completion; yields its answer, none of whose body is read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("POST", CHAT, json.dumps({"stream": True, **body}), {"Authorization": f"Bearer {KEY}"})
            yield connection.getresponse()

    def send(self, request: bytes) -> bytes:
        """Send a raw request, such as no client sends; returns the first bytes of the answer."""
        with socket.create_connection(("127.0.0.1", self.api_port), timeout=60) as raw:
            with contextlib.suppress(ConnectionError):
                raw.sendall(request)
            return raw.recv(65536)

    def probe(self, path: str) -> int:
        """Status of the answer to a probe of the kubelet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def model_servers(self) -> int:
        answer = self.ask("/health", key=None)
        return answer.json["model_servers"] if answer.status == 200 else 0


def accepts(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def eventually(check: Callable[[], bool]) -> None:
    wait_until(check, "the state that the test expects of the gateway")


def mount(folder: Path, version: str, files: dict[str, str]) -> None:
    """Mount a new version of a Secret as the kubelet does: files behind a link that is moved."""
    made = folder / f"..{version}"
    made.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (made / name).write_text(text)
    (folder / "..new").symlink_to(made.name)
    (folder / "..new").rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def write_certificate(folder: Path, name: str) -> None:
    """Make a key and a certificate, and mount them."""
    made = folder / f".{name}"
    made.mkdir(parents=True)
    subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-nodes")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    pair = ("-keyout", made / "tls.key", "-out", made / "tls.crt")
    subprocess.run(("openssl", "req", "-x509", *curve, *pair, *subject), check=True, capture_output=True)
    mount(folder, name, {file: (made / file).read_text() for file in ("tls.crt", "tls.key")})


TWO_NAMES = (
    Upstream("model-server", "tiny", "models.test", 2048, servers()["vllm"].PATHS),
    Upstream("model-server-second", "tiny-second", "variant.test", 1024, servers()["transformers"].PATHS),
)


@contextlib.contextmanager
def running(
    tmp_path: Path,
    gateway: Any,
    upstreams: tuple[Upstream, ...] = TWO_NAMES,
    traces: Tracing | None = None,
    **ports: int,
) -> Iterator[Site]:
    """A gateway with two entries and two keys, whose site has these ports."""
    here = Site(tmp_path, **ports)
    route = Route(
        upstreams,
        upstream_port=here.model_port,
        health_port=here.health_port,
        api_port=here.api_port,
        metrics_port=here.metrics_port,
        admin_port=here.admin_port,
        config_dir=str(tmp_path),
        keys_dir=str(tmp_path),
        tls_dir=str(tmp_path / "tls"),
        client_ca_dir=str(tmp_path / "client-ca"),
        weights_dir=str(tmp_path / "weights"),
        tls_check_port=here.tls_check_port,
        engine_key_dir=str(tmp_path / "engine-key"),
        dns=("127.0.0.1", here.dns_port),
        limits_host="limits.test",
        limits_port=here.limits_port,
        ends_port=here.ends_port,
        traces=traces,
    )
    gateway = gateway.model_copy(update={"timeouts": gateway.timeouts.model_copy(update={"request_seconds": 3})})
    for name, text in gateway_config.files(gateway, route).items():
        (tmp_path / name).write_text(text)
    here.write_weights(upstreams)
    here.write_engine_key(ENGINE_KEY)
    here.write_keys({"default": KEY, "second": KEY[::-1]})
    here.start(sys.executable, str(FAKES / "dns_server.py"), str(here.dns_port), str(tmp_path))
    here.start(*specs.command(gateway, str(tmp_path)))
    try:
        eventually(lambda: accepts("127.0.0.1", here.api_port))
        yield here
    finally:
        for process in reversed(here.running):
            process.terminate()
        for process in here.running:
            process.wait(timeout=60)
