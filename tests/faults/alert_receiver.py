"""A webhook on this machine that the lab's Alertmanager is told of for a while, and what it was sent."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from lab.cluster.stack import NAMESPACE
from lab.hosts import network
from tests.support.web import Refused, webhook

Kubectl: TypeAlias = Callable[..., str]
FILE, NAME = "alertmanager.yml", "webhook-of-a-test"
# How long Alertmanager collects what belongs together; the site's own minute would only make the test longer.
GROUP_S = 5
WATCHDOG = "Watchdog"


class Receiver:
    """First notification of each alert, and of its end, in seconds of the monotonic clock.

    `watchdogs` counts those of the watchdog. While `away` is true, notifications are refused.
    """

    def __init__(self) -> None:
        self.fired: dict[str, float] = {}
        self.resolved: dict[str, float] = {}
        self.annotations: dict[str, dict[str, str]] = {}
        self.watchdogs = 0
        self.away = False

    def forget_ended(self, alert: str) -> None:
        """Hear of an alert anew that had another cause before."""
        if alert in self.resolved:
            del self.fired[alert], self.resolved[alert]

    def take(self, body: dict[str, Any]) -> None:
        if self.away:
            raise Refused
        self.watchdogs += body["groupLabels"].get("alertname") == WATCHDOG
        for alert in body["alerts"]:
            name = alert["labels"]["alertname"]
            self.annotations[name] = alert["annotations"]
            seen = self.fired if alert["status"] == "firing" else self.resolved
            seen.setdefault(name, time.monotonic())


@contextmanager
def told(kubectl: Kubectl, folder: Path) -> Iterator[Receiver]:
    """The receiver, while Alertmanager sends to it; afterwards its own configuration is back. `folder` is empty."""
    receiver = Receiver()
    with webhook(receiver.take, network.GATEWAY) as port:
        index, site_secret = _configured(kubectl)
        redirected = _redirected(_read(kubectl, site_secret), f"http://{network.GATEWAY}:{port}/")
        for name, made in (("policy", _open(port)), ("secret", _secret(redirected))):
            (folder / f"{name}.json").write_text(json.dumps(made))
            kubectl("apply", "-f", str(folder / f"{name}.json"))
        try:
            _configure(kubectl, index, NAME)
            yield receiver
        finally:
            _configure(kubectl, index, site_secret)
            kubectl("--namespace", NAMESPACE, "delete", f"networkpolicy/{NAME}", f"secret/{NAME}")


def _redirected(configuration: str, url: str) -> str:
    """The site's own configuration with its people and its watchdog at this address."""
    document = yaml.safe_load(configuration)
    hooks = [{"url": url, "send_resolved": True}]
    document["receivers"] = [{"name": "test", "webhook_configs": hooks}]
    document["route"] |= {"receiver": "test", "group_wait": f"{GROUP_S}s", "group_interval": f"{GROUP_S}s"}
    for route in document["route"]["routes"]:
        route |= {"receiver": "test", "repeat_interval": f"{GROUP_S}s"}
    return yaml.safe_dump(document)


def _open(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "alertmanager"}},
            "policyTypes": ["Egress"],
            "egress": [{"ports": [{"protocol": "TCP", "port": port}]}],
        },
    }


def _secret(configuration: str) -> dict[str, Any]:
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {FILE: configuration}}


def _configured(kubectl: Kubectl) -> tuple[int, str]:
    """Index of the volume with Alertmanager's configuration, and its Secret, whose contents never change."""
    spec = json.loads(kubectl("--namespace", NAMESPACE, "get", "deployment/alertmanager", "--output=json"))["spec"]
    secrets = [volume.get("secret", {}).get("secretName", "") for volume in spec["template"]["spec"]["volumes"]]
    return next((index, name) for index, name in enumerate(secrets) if name.startswith("alertmanager-config"))


def _read(kubectl: Kubectl, secret: str) -> str:
    found = json.loads(kubectl("--namespace", NAMESPACE, "get", f"secret/{secret}", "--output=json"))
    return base64.b64decode(found["data"][FILE]).decode()


def _configure(kubectl: Kubectl, index: int, secret: str) -> None:
    path = f"/spec/template/spec/volumes/{index}/secret/secretName"
    patch = json.dumps([{"op": "replace", "path": path, "value": secret}])
    kubectl("--namespace", NAMESPACE, "patch", "deployment/alertmanager", "--type=json", "--patch", patch)
    kubectl("--namespace", NAMESPACE, "rollout", "status", "deployment/alertmanager", "--timeout=120s")
