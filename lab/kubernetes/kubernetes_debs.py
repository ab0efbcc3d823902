"""Kubernetes' Debian packages, with the project's layout, from the binaries that the lab builds.

A production mirror copies them from the project's apt repository, which the lab cannot reach.
"""

from __future__ import annotations

from pathlib import Path

from lab.deb import UNITS, install, package, write
from lab.paths import BIN
from lab.tools.go_modules import CNI_PLUGINS
from lab.versions import versions

KUBELET_UNIT = """\
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""
KUBEADM_DROP_IN = """\
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \\
  --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
PROGRAMS = ("kubelet", "kubeadm", "kubectl")


def sources() -> list[Path]:
    """Programs that the packages contain."""
    return [BIN / name for name in (*PROGRAMS, *CNI_PLUGINS)]


def build(scratch: Path, into: Path) -> None:
    """Write the packages kubelet, kubeadm, kubectl and kubernetes-cni into a folder."""
    kubernetes = versions()["kubernetes"]
    for name in PROGRAMS:
        install(BIN / name, scratch / name / "usr/bin" / name, 0o755)
    write(scratch / "kubelet" / UNITS / "kubelet.service", KUBELET_UNIT)
    write(scratch / "kubelet/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\n")
    write(scratch / "kubeadm" / UNITS / "kubelet.service.d/10-kubeadm.conf", KUBEADM_DROP_IN)
    for plugin in CNI_PLUGINS:
        install(BIN / plugin, scratch / "kubernetes-cni/opt/cni/bin" / plugin, 0o755)
    version, cni = kubernetes["package"], kubernetes["cni_package"]
    package(
        scratch / "kubelet", into, version, "kubernetes-cni (>= 1.2.0), mount, util-linux",
        Recommends="iptables (>= 1.8.4)", control={"conffiles": "/etc/default/kubelet\n"},
    )  # fmt: skip
    package(scratch / "kubeadm", into, version)
    package(scratch / "kubectl", into, version)
    package(scratch / "kubernetes-cni", into, cni)
