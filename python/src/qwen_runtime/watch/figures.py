"""Figures of a site by the series `serving:*`: the fleet, each model, each host and each GPU, planned beside seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from qwen_runtime.errors import HostError
from qwen_runtime.watch.prometheus import Prometheus

Key: TypeAlias = "tuple[str, ...]"
Column: TypeAlias = "dict[Key, float]"
"""A value by the labels of its row."""

RATE = "[5m]"
"""Window of rates: at least two measurements, also where a site measures every two minutes."""
ALERTS = 'ALERTS{alertstate="firing",severity!="none"}'


@dataclass(frozen=True, slots=True)
class Question:
    """A column: an expression, and the labels of its series that name the row."""

    expression: str
    by: tuple[str, ...]


def _rate(series: str, by: str) -> str:
    return f"sum by ({by}) (rate({series}{RATE}))"


OF_SITE = {
    "replicas": Question('sum(serving:state{state="ready"})', ()),
    "planned replicas": Question("sum(serving:planned_replicas:replicas)", ()),
    "gateways": Question("count(serving:gateway_connections:connections)", ()),
    "planned gateways": Question("serving:planned_gateways:replicas", ()),
    "GPUs": Question("count(serving:gpu_temperature:celsius)", ()),
    "planned GPUs": Question("sum(serving:planned_gpus:gpus)", ()),
    "power": Question("sum(serving:gpu_power:watts)", ()),
    "connections": Question("sum(serving:gateway_connections:connections)", ()),
}
ANSWERS = Question(_rate("serving:gateway_answers:total", "class"), ("class",))
BUDGET = Question("min by (slo) (serving:slo_budget_left:ratio)", ("slo",))
FIRING = Question(f"count by (alertname) ({ALERTS})", ("alertname",))
MODELS = Question("serving:planned_replicas:replicas", ("server", "model_name"))
FIRST_TOKEN = _rate("serving:time_to_first_token:seconds_bucket", "server, le")
OF_MODEL = {
    "planned": Question("serving:planned_replicas:replicas", ("server",)),
    "ready": Question('sum by (server) (serving:state{state="ready"})', ("server",)),
    "running": Question("sum by (server) (serving:requests_running:requests)", ("server",)),
    "waiting": Question("sum by (server) (serving:requests_waiting:requests)", ("server",)),
    "tokens": Question(_rate("serving:generation_tokens:total", "server"), ("server",)),
    "first token": Question(f"histogram_quantile(0.95, {FIRST_TOKEN})", ("server",)),
    "KV cache": Question("max by (server) (serving:kv_cache_used:ratio)", ("server",)),
    "errors": Question(_rate("serving:errors:total", "server"), ("server",)),
}
NODE, GPU = ("node",), ("node", "gpu")
OF_HOST = {
    "GPUs": Question("count by (node) (serving:gpu_temperature:celsius)", NODE),
    "planned": Question("serving:planned_gpus_per_host:gpus", ()),
    "utilisation": Question("avg by (node) (serving:gpu_utilization:ratio)", NODE),
    "hottest": Question("max by (node) (serving:gpu_temperature:celsius)", NODE),
    "power": Question("sum by (node) (serving:gpu_power:watts)", NODE),
    "processors": Question("serving:host_cpu_used:ratio", NODE),
    "memory": Question("serving:host_memory_free:ratio", NODE),
    "disk": Question("min by (node) (serving:host_filesystem_free:ratio)", NODE),
}
OF_GPU = {
    "utilisation": Question("serving:gpu_utilization:ratio", GPU),
    "used": Question("serving:gpu_memory_used:bytes", GPU),
    "free": Question("serving:gpu_memory_free:bytes", GPU),
    "temperature": Question("serving:gpu_temperature:celsius", GPU),
    "power": Question("serving:gpu_power:watts", GPU),
    "clock": Question("serving:gpu_sm_clock:hertz", GPU),
    "XID": Question("serving:gpu_last_xid:code", GPU),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The state of now. A column lacks the rows of which nothing is known."""

    site: dict[str, float]
    answers: Column
    budget: Column
    firing: Column
    models: list[Key]
    """Pairs of a server and the model's name in the API."""
    of_model: dict[str, Column] = field(default_factory=dict)
    of_host: dict[str, Column] = field(default_factory=dict)
    of_gpu: dict[str, Column] = field(default_factory=dict)

    @property
    def hosts(self) -> list[Key]:
        return sorted({row for name, column in self.of_host.items() if name != "planned" for row in column})

    @property
    def gpus(self) -> list[Key]:
        """Each GPU by its host and its number, in the order of numbers."""
        found = {row for column in self.of_gpu.values() for row in column}
        return sorted(found, key=lambda row: (row[0], len(row[1]), row[1]))


def read(prometheus: Prometheus) -> Figures:
    """Figures of now. HostError where Prometheus does not answer, or knows nothing of the stack."""
    models = sorted(_column(prometheus, MODELS))
    if not models:
        raise HostError(
            f"no series serving:planned_replicas:replicas in Prometheus at {prometheus.url}",
            "the Prometheus of the stack, with its rules evaluated within five minutes",
            "Correct --prometheus, or look at Status, Rules there.",
        )
    return Figures(
        site={name: _only(_column(prometheus, question)) for name, question in OF_SITE.items()},
        answers=_column(prometheus, ANSWERS),
        budget=_column(prometheus, BUDGET),
        firing=_column(prometheus, FIRING),
        models=models,
        of_model=_columns(prometheus, OF_MODEL),
        of_host=_columns(prometheus, OF_HOST),
        of_gpu=_columns(prometheus, OF_GPU),
    )


def health(figures: Figures) -> str:
    """One line: whether all that is planned is there and no alert fires, and what the site does."""
    names = sorted(name for (name,) in figures.firing)
    counts = [_beside(figures.site, name) for name in ("replicas", "gateways")]
    missing = any(figures.site[name] < figures.site[f"planned {name}"] for name in ("replicas", "gateways"))
    told = f"firing: {', '.join(names)}" if names else "no alert"
    rate = sum(figures.answers.values())
    state = "not well" if missing or names else "well"
    return f"{state}: {', '.join(counts)}, {figures.site['GPUs']:.0f} GPUs, {rate:.1f} answers/s, {told}"


def _beside(site: Mapping[str, float], name: str) -> str:
    return f"{site[name]:.0f} of {site[f'planned {name}']:.0f} {name}"


def _columns(prometheus: Prometheus, questions: Mapping[str, Question]) -> dict[str, Column]:
    return {name: _column(prometheus, question) for name, question in questions.items()}


def _column(prometheus: Prometheus, question: Question) -> Column:
    found = prometheus.now(question.expression)
    return {tuple(one.labels.get(label, "") for label in question.by): one.samples[0][1] for one in found}


def _only(column: Column) -> float:
    """The value of a column of one row; 0 where there is none, as of a count of nothing."""
    return next(iter(column.values()), 0.0)
