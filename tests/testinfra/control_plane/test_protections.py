"""The API: who is served, what is logged, and how secrets lie in etcd."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from testinfra.host import Host

from ..etcd import ETCDCTL
from ..inventory import Expected
from ..web import status

SERVED_WITHOUT_A_NAME = ["/livez", "/readyz", "/healthz"]
REFUSED_WITHOUT_A_NAME = ["/api", "/version", "/api/v1/namespaces/kube-public/configmaps/cluster-info"]


@pytest.mark.parametrize("path", SERVED_WITHOUT_A_NAME)
def test_probes_are_answered_without_a_name(host: Host, expected: Expected, path: str) -> None:
    assert status(host, f"https://{expected['kubernetes_node_ip']}:6443{path}") == 200


@pytest.mark.parametrize("path", REFUSED_WITHOUT_A_NAME)
def test_nothing_else_is_answered_without_a_name(host: Host, expected: Expected, path: str) -> None:
    assert status(host, f"https://{expected['kubernetes_node_ip']}:6443{path}") == 401


def test_the_api_answers_at_its_endpoint(host: Host, expected: Expected) -> None:
    assert status(host, f"https://{expected['kubernetes_api_endpoint']}/readyz") == 200


@pytest.mark.parametrize("credential", ["admin", "kubelet"])
def test_reading_a_secret_is_logged_without_its_contents(host: Host, expected: Expected, credential: str) -> None:
    """A node's credential counts too: a thief reads secrets with it as the node does."""
    user = {"admin": "kubernetes-admin", "kubelet": f"system:node:{expected['kubernetes_node_name']}"}[credential]
    path = f"/api/v1/namespaces/kube-system/secrets/read-by-a-test-as-{credential}"
    # Asked of this host's own API, whose log is read.
    server = f"--server=https://{expected['kubernetes_node_ip']}:6443"
    host.run(f"kubectl --kubeconfig=/etc/kubernetes/{credential}.conf {server} get --raw {path}")
    lines = host.check_output("tail --lines=2000 /var/log/kubernetes/audit/audit.log").splitlines()
    events = [json.loads(line) for line in lines if path in line]
    assert events
    assert events[-1]["user"]["username"] == user
    assert events[-1]["level"] == "Metadata"
    assert "responseObject" not in events[-1]


def test_only_root_reads_the_audit_log(host: Host) -> None:
    assert host.file("/var/log/kubernetes/audit").mode == 0o700


def test_the_audit_log_is_kept_as_the_inventory_says(host: Host, expected: Expected) -> None:
    manifest = host.file("/etc/kubernetes/manifests/kube-apiserver.yaml").content_string
    assert f"--audit-log-maxage={expected['kubernetes_audit_log_days']}" in manifest
    assert f"--audit-log-maxbackup={expected['kubernetes_audit_log_files']}" in manifest
    assert f"--audit-log-maxsize={expected['kubernetes_audit_log_size_mb']}" in manifest


def test_secrets_are_encrypted_in_etcd(host: Host) -> None:
    found: dict[str, Any] = json.loads(
        host.check_output(f"{ETCDCTL} get /registry/secrets/ --prefix --limit=50 --write-out=json")
    )
    if "kvs" not in found:
        pytest.skip("the cluster holds no secret")
    for pair in found["kvs"]:
        assert base64.b64decode(pair["value"]).startswith(b"k8s:enc:secretbox:v1:")


def test_every_host_has_the_same_key_and_only_root_reads_it(host: Host) -> None:
    file = host.file("/etc/kubernetes/api/encryption.yaml")
    assert (file.user, file.mode) == ("root", 0o600)


@pytest.mark.parametrize("component", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_component_has_no_profiling_and_strong_tls(host: Host, component: str) -> None:
    manifest = host.file(f"/etc/kubernetes/manifests/{component}.yaml").content_string
    assert "--profiling=false" in manifest
    assert "--tls-min-version=VersionTLS12" in manifest
    assert "_CBC_" not in manifest
