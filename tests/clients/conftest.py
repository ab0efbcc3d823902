"""The endpoint that clients are tried at: the rendered gateway with a certificate, in front of a scripted vLLM."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.engine.registry import servers

from qwen_stack.settings.stack import Gateway
from qwen_stack.specs.gateway.routes import Upstream
from tests.clients.endpoint import CONTEXT, MODEL, Endpoint
from tests.gateway import site as gateway_site
from tests.support.engines import engines
from tests.support.server import PYTHON

REPO = Path(__file__).resolve().parents[2]
SCRIPT = "QWEN_ONPREM_SCRIPT"  # as tests/fakes/scripted_sampler.py has it, which only the engine's Python can import
SCRIPTED = ("--logits-processors", "tests.fakes.scripted_sampler:Scripted")
# As the plan has them for Qwen3-Coder.
TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder")


@pytest.fixture(scope="session")
def scripted_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PYTHON.exists():
        pytest.skip("no serving environment on this machine: `make clients` installs one")
    directory = tmp_path_factory.mktemp("model")
    texts = [*(REPO / "docs").rglob("*.md"), *(REPO / "python/src").rglob("*.py")]
    subprocess.run([PYTHON, Path(__file__).with_name("scripted_model.py"), directory, *texts], check=True)
    weights.write_manifest(directory, MODEL, "random-1")
    return directory


def write_certificate(folder: Path) -> None:
    """Make an authority and a certificate of it. Codex trusts none that signs itself."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-nodes")
    make = ("openssl", "req", "-x509", *curve)
    names = ("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")
    authority = ("-CA", "ca.crt", "-CAkey", "ca.key")
    for argv in (
        (*make, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=site"),
        (*make, "-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=localhost", *names, *authority),
    ):
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    gateway_site.mount(folder / "tls", "first", {name: (folder / name).read_text() for name in ("tls.crt", "tls.key")})


@pytest.fixture(scope="session")
def standing(scripted_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("site")
    script = folder / "script.json"
    script.write_text("[]")
    (folder / "engine-keys").write_text(hashlib.sha256(gateway_site.ENGINE_KEY.encode()).hexdigest() + "\n")
    write_certificate(folder)
    upstream = Upstream("model-server", MODEL, "models.test", CONTEXT, servers()["vllm"].PATHS)
    with pytest.MonkeyPatch.context() as patch, engines(scripted_model, folder) as start:
        patch.setenv(SCRIPT, str(script))
        keys = ("--keys", folder / "engine-keys")
        process, api, health = start("--max-model-len", CONTEXT, *keys, own=(*SCRIPTED, *TOOLS))
        process.wait_ready(health)
        ports = {"model_port": api.port, "health_port": health.port}
        gateway = Gateway(tls_secret="gateway-tls", threads=1)
        with gateway_site.running(folder, gateway, (upstream,), **ports) as site:
            (folder / "models").write_text("127.0.0.1")
            yield Endpoint(site.api_port, folder, script)


@pytest.fixture
def endpoint(standing: Endpoint) -> Endpoint:
    """The endpoint, whose model says nothing that a test before has let it say."""
    standing.play()
    return standing
