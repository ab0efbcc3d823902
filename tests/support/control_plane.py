"""Kubernetes' control plane with KEDA, as processes of this machine: objects and numbers, but no pod that runs.

KEDA, the API server, its aggregation and the autoscaler are the real programs. Prometheus is a stand-in that a test
tells what to say. The autoscaler looks every two seconds instead of every fifteen; nothing else about it is changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.paths import BIN
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.web import Quiet, served

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "keda", "keda-adapter")
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
)
LOOK_S = 2
TOKEN = "of-the-test"
NAMESPACES = {"POD_NAMESPACE": "keda", "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda", "WATCH_NAMESPACE": ""}
# Pods that name another one are refused, and an autoscaler counts pods.
RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "nvidia"},
    "handler": "nvidia",
}
METRICS = "v1beta1.external.metrics.k8s.io"


def absent() -> list[str]:
    return [program for program in PROGRAMS if not (BIN / program).exists()]


@dataclass
class Plane:
    folder: Path
    values: dict[str, float | None] = field(default_factory=dict)
    """Answers of Prometheus by query; None for one without a value."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    prometheus: str = ""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        command = [BIN / "kubectl", "--kubeconfig", self.folder / "kubeconfig", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, input=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *manifests: Any, manager: str = "kubectl") -> None:
        """Server-side apply by a field manager, as Pulumi's provider v4 does it."""
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--server-side", f"--field-manager={manager}", "--filename=-", stdin=items)

    def replicas(self, kind_and_name: str) -> int:
        """The number that is wanted; a loop that asks for it looks twice a second."""
        time.sleep(0.5)
        return int(self.kubectl("get", kind_and_name, "-o=jsonpath={.spec.replicas}"))

    def start(self, name: str, *flags: str, **environment: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(BIN / name), *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig"), **environment},
            )

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        process.wait(30)

    def start_operator(self) -> None:
        self.start(
            "keda",
            f"--cert-dir={self.folder}",
            f"--metrics-service-bind-address=127.0.0.1:{self.ports['operator']}",
            "--enable-prometheus-metrics=false",
            "--health-probe-bind-address=0",
            **NAMESPACES,
        )


@contextmanager
def control_plane(folder: Path) -> Iterator[Plane]:
    """A control plane whose KEDA is ready; everything ends with the block."""
    plane = Plane(folder)
    plane.ports = {name: free_port() for name in ("etcd", "peer", "api", "manager", "operator", "adapter", "adapters")}
    with ExitStack() as running:
        plane.prometheus = f"http://127.0.0.1:{running.enter_context(_prometheus(plane))}"
        running.callback(_stop_all, plane)
        _write_certificates(folder)
        _write_access(plane)
        _start_kubernetes(plane)
        _install_keda(plane)
        yield plane


def _stop_all(plane: Plane) -> None:
    for name in list(plane.processes)[::-1]:
        plane.stop(name)


@contextmanager
def _prometheus(plane: Plane) -> Iterator[int]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
            value = plane.values.get(query)
            result = [] if value is None else [{"metric": {}, "value": [0, str(value)]}]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "success", "data": {"result": result}}).encode())

    with served(Handler) as port:
        yield port


def _write_certificates(folder: Path) -> None:
    """One authority for all, and one certificate with which each program is server and client."""
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    usage = "extendedKeyUsage=serverAuth,clientAuth"

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", names, "-addext", usage)
    openssl(*new, "-subj", "/CN=front-proxy", "-keyout", "tls.key", "-out", "tls.crt", *signed)


def _write_access(plane: Plane) -> None:
    (plane.folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
    server = {"server": f"https://127.0.0.1:{plane.ports['api']}", "insecure-skip-tls-verify": True}
    access = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": server}],
        "users": [{"name": "it", "user": {"token": TOKEN}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "default"}}],
    }
    (plane.folder / "kubeconfig").write_text(json.dumps(access))


def _start_kubernetes(plane: Plane) -> None:
    ports = plane.ports
    store = f"http://127.0.0.1:{ports['etcd']}"
    peer = f"http://127.0.0.1:{ports['peer']}"
    plane.start(
        "etcd",
        *(f"--data-dir={plane.folder}/etcd", "--unsafe-no-fsync"),
        *(f"--listen-client-urls={store}", f"--advertise-client-urls={store}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"),
    )
    plane.start(
        "kube-apiserver",
        *(f"--etcd-servers={store}", "--bind-address=127.0.0.1", f"--secure-port={ports['api']}"),
        *("--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key", "--token-auth-file=tokens.csv"),
        *("--service-account-issuer=https://it", "--service-account-key-file=tls.key"),
        *("--service-account-signing-key-file=tls.key", "--disable-admission-plugins=ServiceAccount"),
        *("--authorization-mode=AlwaysAllow", "--endpoint-reconciler-type=none"),
        *("--proxy-client-cert-file=tls.crt", "--proxy-client-key-file=tls.key", "--requestheader-allowed-names="),
        *("--requestheader-client-ca-file=ca.crt", "--requestheader-username-headers=X-Remote-User"),
        *("--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-"),
    )
    wait_until(lambda: _answers(plane, "/readyz"), "a ready API server")
    plane.start(
        "kube-controller-manager",
        *("--kubeconfig=kubeconfig", "--leader-elect=false", f"--secure-port={ports['manager']}"),
        *(f"--controllers={','.join(CONTROLLERS)}", f"--horizontal-pod-autoscaler-sync-period={LOOK_S}s"),
    )


def _install_keda(plane: Plane) -> None:
    ports, config = plane.ports, (BIN / "keda").resolve().parent / "config"
    plane.kubectl("create", "namespace", "keda")
    plane.kubectl("apply", "--server-side", "--kustomize", str(config / "crd"))
    plane.start_operator()
    plane.start(
        "keda-adapter",
        *(f"--secure-port={ports['adapter']}", "--bind-address=127.0.0.1", f"--port={ports['adapters']}"),
        *("--cert-dir=.", "--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"),
        *("--authentication-kubeconfig=kubeconfig", "--authorization-kubeconfig=kubeconfig"),
        *("--lister-kubeconfig=kubeconfig", f"--metrics-service-address=localhost:{ports['operator']}"),
        **NAMESPACES,
    )
    # The API server asks the adapter at this name.
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "adapter", "namespace": "keda"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": ports["adapter"]}]},
    }
    asked = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": METRICS},
        "spec": {
            "service": {"name": "adapter", "namespace": "keda", "port": ports["adapter"]},
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    plane.apply(service, asked, RUNTIME_CLASS)
    plane.kubectl("wait", f"apiservice/{METRICS}", "--for=condition=Available", "--timeout=120s")


def _answers(plane: Plane, path: str) -> bool:
    command = [BIN / "kubectl", "--kubeconfig", plane.folder / "kubeconfig", "get", "--raw", path]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
