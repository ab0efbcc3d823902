"""A stack belongs to one cluster: another one is refused before anything is registered.

kubectl is real, the cluster's API is a stand-in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from lab.paths import BIN
from qwen_stack import config
from qwen_stack.components import cluster, kubectl
from qwen_stack.components.kubectl import ClusterError
from tests.fakes import kubernetes_api

from .recorded_stack import CLUSTER_UID, run_program

OTHER = "9f3c5c0e-7f55-4f0e-8a11-4d8f9c3b2a10"
Values = dict[str, Any]


def refusal(values: Values, outputs: Values, found: str) -> str:
    with pytest.raises(ClusterError) as refused:
        run_program(values, outputs=outputs, cluster_uid=found)
    return str(refused.value)


def test_the_first_run_records_its_cluster(local: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: Values = {}
    monkeypatch.setattr(pulumi, "export", exported.__setitem__)
    assert run_program(local)
    assert exported["cluster"] == CLUSTER_UID


def test_another_cluster_is_refused_with_what_to_do(local: Values) -> None:
    words = refusal(local, {"cluster": CLUSTER_UID}, OTHER)
    assert f"found:  a cluster with the uid {OTHER}" in words
    assert f"needed: {CLUSTER_UID}, by the stack's last run" in words
    assert f"`pulumi config set clusterUid {OTHER}` and `pulumi up --refresh`" in words


def test_the_same_cluster_is_served_again(local: Values) -> None:
    assert run_program(local, outputs={"cluster": CLUSTER_UID})


def test_a_site_moves_its_stack_by_name(local: Values) -> None:
    moved = {**local, "clusterUid": OTHER}
    assert run_program(moved, outputs={"cluster": CLUSTER_UID}, cluster_uid=OTHER)
    assert "by clusterUid in the stack's file" in refusal(moved, {"cluster": CLUSTER_UID}, CLUSTER_UID)


def test_a_word_that_is_no_uid_is_refused(local: Values) -> None:
    with pytest.raises(config.ConfigError, match="clusterUid"):
        config.parse({**local, "clusterUid": "ours"})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[kubernetes_api.Cluster]:
    """A cluster that KUBECONFIG names."""
    if not (BIN / "kubectl").exists():
        pytest.skip("needs the kubectl that `make up` builds")
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with kubernetes_api.cluster() as served:
        named = [{"name": "site", "cluster": {"server": served.url}}]
        contexts = [{"name": name, "context": {"cluster": "site"}} for name in ("site", "same")]
        document = {"apiVersion": "v1", "kind": "Config", "clusters": named, "contexts": contexts}
        (tmp_path / "kubeconfig").write_text(json.dumps({**document, "current-context": "site"}))
        yield served


def configure(**values: str) -> None:
    pulumi.runtime.set_all_config({f"kubernetes:{key}": value for key, value in values.items()})


def test_the_uid_is_that_of_kube_system(api: kubernetes_api.Cluster) -> None:
    api.put("/api/v1/namespaces/kube-system", metadata={"uid": OTHER})
    configure()
    assert cluster.uid(config.provider()) == OTHER
    configure(context="same")
    assert cluster.uid(config.provider()) == OTHER


def test_an_object_is_read_and_one_that_is_not_there_is_none(api: kubernetes_api.Cluster) -> None:
    path = "/api/v1/namespaces/qwen/secrets/gateway-tls"
    configure()
    assert kubectl.read(config.provider(), path) is None
    api.put(path, data={"tls.crt": "AA=="})
    found = kubectl.read(config.provider(), path)
    assert found is not None
    assert found["data"] == {"tls.crt": "AA=="}


def test_a_cluster_that_does_not_answer_is_refused(api: kubernetes_api.Cluster) -> None:
    api.down = True
    configure()
    with pytest.raises(ClusterError, match=r"found:  no answer of the cluster: .*unable to handle the request"):
        cluster.uid(config.provider())


def test_a_context_that_is_not_there_is_refused(api: kubernetes_api.Cluster) -> None:
    configure(context="nowhere")
    with pytest.raises(ClusterError, match='context "nowhere" does not exist'):
        cluster.uid(config.provider())


def test_a_kubeconfig_that_is_no_file_is_refused(api: kubernetes_api.Cluster) -> None:
    configure(kubeconfig="apiVersion: v1")
    with pytest.raises(ClusterError, match="remedy: `pulumi config rm kubernetes:kubeconfig`"):
        cluster.uid(config.provider())
