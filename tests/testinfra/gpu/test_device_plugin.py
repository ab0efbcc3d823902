"""The cluster may give the host's GPUs to pods."""

from __future__ import annotations

from testinfra.host import Host

from ..inventory import Expected

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/kubelet.conf"


def test_the_node_offers_its_gpus(host: Host, node: str, expected: Expected) -> None:
    query = r"jsonpath={.status.allocatable.nvidia\.com/gpu}"
    offered = host.check_output(f"{KUBECTL} get node/{expected.get('kubernetes_node_name', node)} --output=%s", query)
    assert offered == str(expected["gpu_device_plugin_expected"])
