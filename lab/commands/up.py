"""`make up`: every step of the path, in order. Each finds what an earlier run left and does only what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab.cluster import ask, edge, site, stack
from lab.commands import down
from lab.commands.steps import Run
from lab.hosts import network, rack
from lab.machine import bootstrap, fitness, kernel, ownership
from lab.mirror import images, models, prefetch, server
from lab.paths import API_KEY, KUBECONFIG, LAB
from lab.tools import builder
from lab.tools.go_modules import modules


@dataclass(slots=True)
class Path:
    """What one step finds out and a later one needs."""

    model: str
    references: dict[str, str] = field(default_factory=dict)
    hosts_changed: dict[str, int] = field(default_factory=dict)
    stack_changed: bool = False


def up(model: str) -> int:
    """Bring the lab up for a model of the catalogue (`smollm2`, `qwen2.5-coder-1.5b`)."""
    held = ownership.lock()
    path = Path(models.resolve(model))
    run = Run(total=10)
    run.watch_disk()
    run.step("machine", _machine)
    run.step("packages and environment", _packages)
    run.step("tools", _tools)
    run.step("site mirror", _mirror)
    run.step("images", lambda: _images(path))
    run.step("weights on the mirror", lambda: models.publish(path.model, path.references["runtime"]))
    run.step("hosts", rack.ensure)
    run.step("ansible: site.yml", lambda: _site(path))
    run.step("pulumi up", lambda: _stack(path))
    run.step("a question", lambda: ask.ask(path.model))
    fitness.FILLED.touch()
    run.summarise(
        model=path.model,
        ansible_changed=path.hosts_changed,
        pulumi_changed=path.stack_changed,
    )
    _farewell(path.model)
    held.close()
    return 0


def _machine() -> str:
    other = ownership.foreign()
    if other and not ownership.unattended():
        raise ownership.refuse(other)
    if other:
        down.remove(other / ".lab")
    found = fitness.check(lab_is_up=ownership.owner() is not None)
    LAB.mkdir(exist_ok=True)
    ownership.claim()
    kernel.remember()
    return f"{found}; removed the lab of {other}" if other else found


def _packages() -> str | None:
    return ", ".join(r for r in (bootstrap.packages(), bootstrap.environment()) if r) or None


def _tools() -> str | None:
    if not builder.missing(modules()):
        return builder.build()
    with ThreadPoolExecutor(1) as beside:
        fetched = beside.submit(prefetch.fetch)
        built = builder.build()
        fetched.result()
    return built


def _mirror() -> str | None:
    return ", ".join(r for r in (network.ensure(), server.ensure()) if r) or None


def _images(path: Path) -> str | None:
    path.references, built = images.build()
    return f"built {', '.join(built)}" if built else None


def _site(path: Path) -> str | None:
    path.hosts_changed, result = site.converge(
        site_models=[path.model],
        site_model_manifests={path.model: models.manifest_sha256(path.model)},
        site_gpu_images=[path.references["runtime"]],
    )
    return result


def _stack(path: Path) -> str | None:
    stack.configure(path.references, models.serving(path.model))
    path.stack_changed, result = stack.up()
    carried = edge.ensure(path.references["gateway"])
    ask.wait()
    stack.wait()
    return ", ".join(r for r in (result, carried) if r) or None


def _farewell(model: str) -> None:
    print(f"""
endpoint    {ask.ENDPOINT}   (model {model})
API key     {API_KEY}
kubeconfig  {KUBECONFIG}
Prometheus  http://127.0.0.1:9090     Alertmanager  http://127.0.0.1:9093

try next
  curl {ask.ENDPOINT}/chat/completions -H "Authorization: Bearer $(cat {API_KEY})" \\
       -H 'Content-Type: application/json' \\
       -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
  make status          hosts, nodes, pods, stack and endpoint
  make test            every check and test, this lab included
  make down            remove the lab; caches stay
""")
