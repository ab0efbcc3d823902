"""Kubernetes' own Debian packages, laid out as the project lays them out, from the binaries built here.

A production mirror copies them from the project's apt repository; its host is out of the lab's reach.
"""

from __future__ import annotations

import shutil
import tempfile
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
UNITS = Path("usr/lib/systemd/system")


def build(into: Path) -> list[Path]:
    """Write kubelet, kubeadm, kubectl and kubernetes-cni packages into a folder."""
    kubernetes = versions()["kubernetes"]
    with tempfile.TemporaryDirectory() as scratch:
        trees = Path(scratch)
        for name in ("kubelet", "kubeadm", "kubectl"):
            _install(BIN / name, trees / name / "usr/bin" / name, 0o755)
        _write(trees / "kubelet" / UNITS / "kubelet.service", KUBELET_UNIT)
        _write(trees / "kubelet" / UNITS / "kubelet.service.d/10-kubeadm.conf", KUBEADM_DROP_IN)
        plugins = trees / "kubernetes-cni/opt/cni/bin"
        plugins.mkdir(parents=True)
        for plugin in ("bridge", "host-local", "loopback", "portmap"):
            (plugins / plugin).symlink_to(f"/usr/lib/cni/{plugin}")
        cni = kubernetes["cni_package"]
        return [
            _package(
                trees / "kubelet",
                into,
                kubernetes["package"],
                f"kubernetes-cni (>= {cni}), iptables, iproute2, mount, util-linux",
            ),
            _package(trees / "kubeadm", into, kubernetes["package"], f"kubelet (= {kubernetes['package']})"),
            _package(trees / "kubectl", into, kubernetes["package"], ""),
            _package(trees / "kubernetes-cni", into, cni, "containernetworking-plugins"),
        ]


def _package(tree: Path, into: Path, version: str, depends: str) -> Path:
    fields = {
        "Package": tree.name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "qwen-onprem lab <lab@localhost>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": depends,
        "Description": f"{tree.name}, built by the lab from its pinned Go module",
    }
    _write(tree / "DEBIAN/control", "".join(f"{k}: {v}\n" for k, v in fields.items() if v))
    deb = into / f"{tree.name}_{version}_amd64.deb"
    output("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, deb)
    return deb


def _install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
