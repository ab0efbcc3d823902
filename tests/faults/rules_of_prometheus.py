"""Rules of the lab's Prometheus: how long each waits, and other ones for a while."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from lab.cluster.stack import NAMESPACE
from lab.machine import ports
from tests.faults.alert_receiver import Kubectl
from tests.support.waiting import wait_until

PROMETHEUS = f"http://127.0.0.1:{ports.PROMETHEUS}"
FILE, NAME = "rules.yml", "prometheus-of-a-test"
Rules = dict[str, Any]
# What the waits of rules become where they are cut short: three measurements of the lab.
SOON = "15s"


def ask(path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]


def waits() -> dict[str, float]:
    """Time that the condition of each alert must hold, in seconds."""
    rules = (rule for group in ask("rules")["groups"] for rule in group["rules"])
    return {rule["name"]: rule["duration"] for rule in rules if rule["type"] == "alerting"}


def wait_seen(expression: str, patience_s: float = 60) -> None:
    """Wait until Prometheus finds something. While its pod is replaced, connections to it are cut."""

    def found() -> bool:
        with suppress(OSError):
            return bool(ask("query", query=expression)["result"])
        return False

    wait_until(found, expression, patience_s)


def firing(alert: str) -> bool:
    """Whether Prometheus itself has the alert as firing, whoever hears of it."""
    return any(one["labels"]["alertname"] == alert and one["state"] == "firing" for one in ask("alerts")["alerts"])


def cut_short(rules: Rules) -> Rules:
    """The same rules whose conditions need not hold for long. What their expressions look back on stays."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule.get("for", "0m") != "0m":
                rule["for"] = SOON
    return rules


@contextmanager
def changed(kubectl: Kubectl, folder: Path, change: Callable[[Rules], Rules]) -> Iterator[None]:
    """Prometheus with other rules, and afterwards with its own again. Each time it starts without measurements."""
    index, own = _configured(kubectl)
    files = json.loads(kubectl("--namespace", NAMESPACE, "get", f"configmap/{own}", "--output=json"))["data"]
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {**files, FILE: yaml.safe_dump(change(yaml.safe_load(files[FILE])))},
    }
    (folder / "rules.json").write_text(json.dumps(made))
    kubectl("apply", "--server-side", "-f", str(folder / "rules.json"))
    try:
        _configure(kubectl, index, NAME)
        yield
    finally:
        _configure(kubectl, index, own)
        kubectl("--namespace", NAMESPACE, "delete", f"configmap/{NAME}")


def _configured(kubectl: Kubectl) -> tuple[int, str]:
    """Index of the volume with Prometheus' files, and its ConfigMap, whose contents never change."""
    spec = json.loads(kubectl("--namespace", NAMESPACE, "get", "deployment/prometheus", "--output=json"))["spec"]
    named = [volume.get("configMap", {}).get("name", "") for volume in spec["template"]["spec"]["volumes"]]
    return next((index, name) for index, name in enumerate(named) if name.startswith("prometheus-config"))


def _configure(kubectl: Kubectl, index: int, name: str) -> None:
    path = f"/spec/template/spec/volumes/{index}/configMap/name"
    patch = json.dumps([{"op": "replace", "path": path, "value": name}])
    kubectl("--namespace", NAMESPACE, "patch", "deployment/prometheus", "--type=json", "--patch", patch)
    kubectl("--namespace", NAMESPACE, "rollout", "status", "deployment/prometheus", "--timeout=120s")
