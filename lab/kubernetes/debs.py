"""Kubernetes' own Debian packages, laid out as the project lays them out, from the binaries built here.

A production mirror copies them from the project's apt repository; its host is out of the lab's reach.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.paths import BIN
from lab.shell import output
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
UNITS = Path("usr/lib/systemd/system")
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")  # of upstream's eighteen, those that flannel needs
BINARIES = (*PROGRAMS, *CNI_PLUGINS)


def build(scratch: Path, into: Path) -> None:
    """Write kubelet, kubeadm, kubectl and kubernetes-cni packages into a folder."""
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


def package(
    tree: Path, into: Path, version: str, depends: str = "", *, control: Mapping[str, str] | None = None, **fields: str
) -> None:
    """Pack a tree under its folder's name; `control`: maintainer scripts and the like, `fields`: relations."""
    fields = {
        "Package": tree.name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "qwen-onprem lab <lab@localhost>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": depends,
        **fields,
        "Description": f"{tree.name}, built by the lab",
    }
    write(tree / "DEBIAN/control", "".join(f"{k}: {v}\n" for k, v in fields.items() if v))
    for name, text in (control or {}).items():
        write(tree / "DEBIAN" / name, text)
        (tree / "DEBIAN" / name).chmod(0o755 if text.startswith("#!") else 0o644)
    deb = into / f"{tree.name}_{version}_amd64.deb"
    output("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, deb)


def install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
