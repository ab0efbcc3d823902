"""A real Prometheus with the arguments of the stack, on files and data that a test has made."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.monitoring import prometheus
from tests.support.ports import free_port
from tests.support.waiting import wait_until

from .exposition import Site

AWAY = "127.0.0.1:9"
"""Target that never answers: Prometheus keeps samples of it all the same."""


def rule(settings: Any, alert: str) -> dict[str, Any]:
    """Rule of one alert, as the stack has it."""
    groups = yaml.safe_load(alert_rules.rules_file(settings))["groups"]
    rules: Iterator[dict[str, Any]] = (rule for group in groups for rule in group["rules"])
    return next(rule for rule in rules if rule.get("alert") == alert)


def write_files(
    folder: Path, job: str, *rules: dict[str, Any], targets: Sequence[str] = (AWAY,), further: Any = None
) -> None:
    """Configuration with these targets, rules and further keys."""
    config = {
        **(further or {}),
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/rules.yml"],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "alerts", "rules": list(rules)}]}))


@contextlib.contextmanager
def started(
    folder: Path, settings: Any, within: Sequence[str] = (), options: Sequence[str] = (), port: int = 0
) -> Iterator[tuple[Site, int]]:
    """Prometheus, with further options, and the number of its process. `within` is a command that becomes another."""
    places = {prometheus.CONFIG_DIR: folder, prometheus.DATA_DIR: folder / "data"}
    arguments = list(prometheus.server(settings).arguments)
    for place, here in places.items():
        arguments = [argument.replace(f"={place}", f"={here}") for argument in arguments]
    port = port or free_port()
    command = [*within, "prometheus", *arguments, *options, f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        site = Site(port)
        wait_until(lambda: _answers(site), f"no answer: {(folder / 'log').read_text()}")
        yield site, process.pid
    finally:
        process.terminate()
        process.wait(20)


def _answers(site: Site) -> bool:
    with contextlib.suppress(OSError):
        return bool(site.series("vector(1)"))
    return False
