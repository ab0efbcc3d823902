"""Every host is a node: a running kubelet, joined by kubeadm, with nothing left half-made."""

from __future__ import annotations

import json
import re

import yaml
from testinfra.host import Host

from ..inventory import Expected
from ..web import status


def test_kubelet_runs_now_and_at_boot(host: Host) -> None:
    service = host.service("kubelet")
    assert service.is_running, host.run("journalctl -u kubelet -n 20 --no-pager").stdout
    assert service.is_enabled


def test_kubelet_says_it_is_healthy(host: Host) -> None:
    answer = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:10248/healthz', timeout=5).read().decode())"
    assert host.check_output("python3 -c %s", answer) == "ok"


def test_host_is_not_half_made(host: Host) -> None:
    assert host.file("/etc/kubernetes/kubelet.conf").exists
    assert not host.file("/etc/kubernetes/unfinished-by-kubernetes-role").exists


def test_flannel_leaves_the_host_by_the_nodes_own_address(host: Host, expected: Expected) -> None:
    assert host.file("/etc/cni/net.d/10-flannel.conflist").exists
    link = json.loads(host.check_output("ip -json -details link show flannel.1"))[0]
    assert link["linkinfo"]["info_data"]["local"] == expected["kubernetes_node_ip"]


def test_pods_get_name_servers_that_they_reach_from_this_host(host: Host) -> None:
    flags = host.file("/var/lib/kubelet/kubeadm-flags.env").content_string
    flag = re.search(r"--resolv-conf=([^ \"]+)", flags)
    settings = yaml.safe_load(host.file("/var/lib/kubelet/config.yaml").content_string)
    file = host.file(flag[1] if flag else settings.get("resolvConf", "/etc/resolv.conf"))
    assert file.exists
    assert not re.search(r"^nameserver\s+(127[.]|::1)", file.content_string, re.MULTILINE)


def test_kubelet_has_no_port_that_asks_for_no_name(host: Host) -> None:
    assert not host.socket("tcp://10255").is_listening


def test_kubelet_serves_nobody_without_a_name(host: Host, expected: Expected) -> None:
    assert status(host, f"https://{expected['kubernetes_node_ip']}:10250/pods") == 401


def test_kubelet_tells_of_a_change_within_seconds(host: Host) -> None:
    settings = yaml.safe_load(host.file("/var/lib/kubelet/config.yaml").content_string)
    assert settings["nodeStatusUpdateFrequency"] == "2s"
    assert settings["nodeStatusReportFrequency"] == "5m0s"


def test_kubelet_brings_changed_keys_to_pods_within_seconds(host: Host) -> None:
    settings = yaml.safe_load(host.file("/var/lib/kubelet/config.yaml").content_string)
    assert settings["syncFrequency"] == "500ms"


def test_kubelet_runs_with_its_protections(host: Host, expected: Expected) -> None:
    settings = yaml.safe_load(host.file("/var/lib/kubelet/config.yaml").content_string)
    assert settings["authentication"]["anonymous"]["enabled"] is False
    assert settings["authorization"]["mode"] == "Webhook"
    assert settings["rotateCertificates"] is True
    assert settings["tlsMinVersion"] == "VersionTLS12"
    wanted = expected["kubernetes_kubelet_config"].get("protectKernelDefaults", True)
    assert settings.get("protectKernelDefaults", False) is wanted
