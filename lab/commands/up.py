"""`make up`: all steps in order. Each takes what an earlier run left, and does only what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab.cluster import ask, edge, site, stack
from lab.commands import down
from lab.commands.steps import Run
from lab.hosts import network, rack
from lab.machine import bootstrap, fitness, kernel, ownership, ports
from lab.mirror import images, models, prefetch, server
from lab.paths import API_KEY, KUBECONFIG, LAB
from lab.tools import builder
from lab.tools.go_modules import modules


@dataclass(slots=True)
class Facts:
    """Facts that one step establishes and a later one needs."""

    model: str
    references: dict[str, str] = field(default_factory=dict)
    hosts_changed: dict[str, int] = field(default_factory=dict)
    stack_changed: bool = False


def up(model: str) -> int:
    """Bring the lab up for a model that the lab serves, by its name or short name."""
    held = ownership.lock()
    facts = Facts(models.resolve(model))
    run = Run(total=10)
    run.watch_disk()
    run.step("machine", _machine)
    run.step("packages and environment", _packages)
    run.step("tools", _tools)
    run.step("site mirror", _mirror)
    run.step("images", lambda: _images(facts))
    run.step("weights on the mirror", lambda: models.publish(facts.model, facts.references["runtime"]))
    run.step("hosts", rack.ensure)
    run.step("ansible: site.yml", lambda: _site(facts))
    run.step("pulumi up", lambda: _stack(facts))
    run.step("a question", lambda: ask.ask(facts.model))
    fitness.FILLED.touch()
    run.summarise(
        model=facts.model,
        ansible_changed=facts.hosts_changed,
        pulumi_changed=facts.stack_changed,
    )
    _farewell(facts.model)
    held.close()
    return 0


def _machine() -> str:
    other = ownership.foreign()
    if other and not ownership.unattended():
        raise ownership.refuse(other)
    if other:
        down.remove(other / ".lab")
    machine = fitness.check(lab_is_up=ownership.owner() is not None)
    LAB.mkdir(exist_ok=True)
    ownership.claim()
    kernel.remember()
    return f"{machine}; removed the lab of {other}" if other else machine


def _packages() -> str | None:
    return ", ".join(r for r in (bootstrap.packages(), bootstrap.environment(), bootstrap.envoy()) if r) or None


def _tools() -> str | None:
    if not builder.missing(modules()):
        return builder.build()
    with ThreadPoolExecutor(1) as downloads:
        fetched = downloads.submit(prefetch.fetch)
        built = builder.build()
        fetched.result()
    return built


def _mirror() -> str | None:
    return ", ".join(r for r in (network.ensure(), server.ensure()) if r) or None


def _images(facts: Facts) -> str | None:
    facts.references, built = images.build()
    return f"new: {', '.join(built)}" if built else None


def _site(facts: Facts) -> str | None:
    facts.hosts_changed, result = site.converge(
        site_models=[facts.model],
        site_model_manifests={facts.model: models.manifest_sha256(facts.model)},
        site_gpu_images=[facts.references["runtime"]],
    )
    return result


def _stack(facts: Facts) -> str | None:
    stack.configure(facts.references, models.serving(facts.model))
    facts.stack_changed, result = stack.up()
    carried = edge.ensure(facts.references["gateway"])
    ask.wait()
    stack.wait()
    return ", ".join(r for r in (result, carried) if r) or None


def _farewell(model: str) -> None:
    print(f"""
endpoint    {ask.ENDPOINT}   (model {model})
API key     {API_KEY}
kubeconfig  {KUBECONFIG}
Prometheus  http://127.0.0.1:{ports.PROMETHEUS}     Alertmanager  http://127.0.0.1:{ports.ALERTMANAGER}

try next
  curl {ask.ENDPOINT}/chat/completions -H "Authorization: Bearer $(cat {API_KEY})" \\
       -H 'Content-Type: application/json' \\
       -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
  make status          hosts, nodes, pods, stack and endpoint
  make test            every check and test, this lab included
  make down            remove the lab; caches stay
""")
