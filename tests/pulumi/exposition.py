"""A real Prometheus with the stack's own jobs and rules, which scrapes what the parts of the stack were seen to write.

DCGM's exporter is not among the records, since it needs GPUs: its series are those of the stack's list of fields, with
the labels that its documentation names.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from qwen_runtime.gate.exposition import metrics, newest
from qwen_runtime.gate.history import Figure
from qwen_runtime.limits.bill import Bill
from qwen_runtime.limits.lease import Usage
from qwen_runtime.repair import steps
from qwen_runtime.repair.events import Event
from qwen_runtime.repair.report import Figures
from qwen_runtime.repair.table import ROWS
from qwen_runtime.serve.health import Health, State

from qwen_stack.settings.stack import Settings
from qwen_stack.specs import evaluation, limits
from qwen_stack.specs.alerts import alert_rules, cluster_rules, gpu_rules, host_rules
from qwen_stack.specs.gateway import workload as gateway
from qwen_stack.specs.monitoring import dcgm_exporter, prometheus, scrape_jobs
from tests.support.ports import free_port
from tests.support.web import Quiet, served

Text: TypeAlias = "str | Callable[[], str]"
"""Exposition of a target, or what makes it."""
RECORDED = Path(__file__).resolve().parents[1] / "recorded"
PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not on PATH: apt-get install prometheus"
)
OF_HOSTS = (host_rules.NODE_EXPORTER, *cluster_rules.SERIES)
# What a job says about how a host is asked, which differs here.
ASKING = ("scheme", "authorization", "tls_config", "metrics_path", "scrape_interval")
PATIENCE_S = 60
# Targets and the last group of rules were read several times, so that every series has a rate.
SETTLED = "min(count_over_time(up[1m])) >= 5 and min(count_over_time(serving:slo_budget_left:ratio[1m])) >= 4"


def dcgm(gpus: int = 8) -> str:
    """Exposition of a host whose GPUs report 0 for each field."""
    labels = 'gpu="{0}",UUID="GPU-{0}",pci_bus_id="{0}",device="nvidia{0}",modelName="NVIDIA H100",Hostname="gpu1"'
    further = {"DCGM_FI_DEV_XID_ERRORS": ',err_code="0",err_msg="No Error"'}
    return "".join(
        f"{name}{{{labels.format(gpu)}{further.get(name, '')}}} 0\n"
        for name, _, _ in gpu_rules.COUNTERS
        for gpu in range(gpus)
    )


def supervisor() -> str:
    health = Health()
    health.move(State.READY, "")
    health.start_s = 36.0
    return health.metrics()


def bill() -> str:
    """Exposition of the limiter after an answer and a refusal."""
    written = Bill()
    written.used("team", "m", Usage(100, 40, 20), "counted")
    written.refused("team", "requests")
    return written.text({"team": 1}, {"team": 0})


def measured() -> str:
    """Exposition of a history with two months of a figure of answers and of one of speed."""
    months = [
        Figure(f"2026-0{month}-01T03:00:00+00:00", kind, "m", "h", "1", name, 1.0)
        for month in (1, 2)
        for kind, name in (("tools", "schema_fails"), ("bench", "slo_attainment"))
    ]
    return metrics(months) + newest([], time.time())


def repair() -> str:
    """Exposition of the repair controller after a pass that found a fault."""
    figures = Figures()
    figures.passed_s = time.time() + 86400  # the whole folder's tests read this text, however long they take
    figures.events = [Event("gpu1", "0", ROWS[0], 0, "boot")]
    figures.states = {"gpu1": steps.State(steps.Step.IN_SERVICE)}
    return figures.text()


def recorded(name: str) -> str:
    return (RECORDED / f"{name}_metrics.txt").read_text()


def written() -> dict[str, str]:
    """Text of each target, by a path that begins with its job."""
    return {
        f"/{gateway.NAME}": recorded("gateway"),
        f"/{scrape_jobs.MODEL_SERVERS}/vllm": recorded("vllm"),
        f"/{scrape_jobs.MODEL_SERVERS}/transformers": recorded("transformers"),
        f"/{scrape_jobs.SUPERVISORS}/vllm": supervisor(),
        f"/{scrape_jobs.SUPERVISORS}/transformers": supervisor(),
        f"/{dcgm_exporter.NAME}": dcgm(),
        f"/{limits.NAME}": bill(),
        f"/{evaluation.HISTORY}": measured(),
        f"/{scrape_jobs.REPAIR}": repair(),
        **{f"/{job}": recorded(job.replace("-", "_")) for job in OF_HOSTS},
        "/prometheus": recorded("prometheus"),
        "/alertmanager": recorded("alertmanager"),
    }


class Site:
    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._url = f"{self.address}/api/v1"

    def ask(self, path: str, **query: str) -> Any:
        url = f"{self._url}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def series(self, expression: str) -> list[dict[str, str]]:
        """Labels of each series of an instant query."""
        return [one["metric"] for one in self.ask("query", query=expression)["result"]]


@contextmanager
def scraped(folder: Path, settings: Settings, texts: Mapping[str, Text] | None = None) -> Iterator[Site]:
    """Prometheus after every rule was evaluated over several scrapes. `texts` may change while it runs."""
    with _exporters(written() if texts is None else texts) as exporters:
        (folder / "rules.yml").write_text(_quick(alert_rules.rules_file(settings)))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_config(settings, exporters, folder)))
        port = free_port()
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stdout=log, stderr=log
            )
        try:
            yield _settled(Site(port), process, folder / "log")
        finally:
            process.terminate()
            process.wait(10)


def _config(settings: Settings, exporters: int, folder: Path) -> dict[str, Any]:
    """The stack's configuration, with targets of this machine in place of those that DNS would give."""
    text = prometheus.prometheus_config(settings).replace(prometheus.CONFIG_DIR, str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    del config["alerting"]
    for job in config["scrape_configs"]:
        for key in ASKING:
            job.pop(key, None)
        names = job.pop("dns_sd_configs", [{"names": [job["job_name"]]}])[0]["names"]
        paths = [path for path in written() if path.split("/")[1] == job["job_name"]]
        # The recording has one host; labels of a static target are its own.
        own = job.get("static_configs", [{}])[0].get("labels", {})
        job["static_configs"] = [
            {
                "targets": [f"127.0.0.1:{exporters}"],
                "labels": {**own, "__metrics_path__": path, "__meta_dns_name": name},
            }
            for path, name in zip(paths, names, strict=True)
        ]
    return config


def _quick(rules: str) -> str:
    """Rules without the time for which alerts must hold."""
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    return yaml.safe_dump(document, sort_keys=False)


def _settled(site: Site, process: subprocess.Popen[bytes], log: Path) -> Site:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if site.series(SETTLED):
                return site
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"no rule was evaluated within {PATIENCE_S} s: {log.read_text()}")


@contextmanager
def _exporters(texts: Mapping[str, Text]) -> Iterator[int]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            text = texts[urllib.parse.urlsplit(self.path).path]
            body = (text if isinstance(text, str) else text()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with served(Handler) as port:
        yield port
