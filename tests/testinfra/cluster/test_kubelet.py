"""Every host is a node: a running kubelet, joined by kubeadm, with nothing left half-made."""

from __future__ import annotations

from testinfra.host import Host


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


def test_flannel_is_on_the_host(host: Host) -> None:
    assert host.file("/etc/cni/net.d/10-flannel.conflist").exists
    assert host.interface("flannel.1").exists
