"""The Go modules that the lab builds, each with its binaries. Their versions are those of their go.mod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.paths import REPO
from lab.versions import versions

CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")  # four of upstream's eighteen: flannel needs no more
NVIDIA_TOOLKIT = ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime", "nvidia-container-runtime-hook")
# Programs look up each function of NVML when they first call it: the library may lack some, or be absent, at the start.
BIND_NVML_LATE = "-extldflags=-Wl,-z,lazy"


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module: its binaries, and how a binary tells its version.

    binaries:     file names of what is built, as the rest of the lab uses them
    source:       Go module whose version in go.mod is the version of the binaries; empty for the lab's own programs
    pin:          the version that versions.yml gives them
    cost_s:       seconds of its build in this order, beside another one; used to estimate the time left
    on_path:      whether binaries on PATH that print that version are used as they are
    version_args: arguments that make a binary print its version, by binary, where they are not --version
    built_as:     Go's name of a binary and the lab's name for it, where they differ
    folder:       folder of its go.mod, where that is not lab/tools/<name>
    extras:       files and folders that come with the source and belong beside the binaries: Go module, path in it
    """

    name: str
    binaries: tuple[str, ...]
    source: str = ""
    pin: str = ""
    cost_s: float = 0
    on_path: bool = False
    version_args: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ldflags: str = ""
    cgo: bool = False
    built_as: tuple[tuple[str, str], ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    folder: str = ""
    packages: tuple[str, ...] = ("tool",)

    @property
    def path(self) -> Path:
        return REPO / (self.folder or f"lab/tools/{self.name}")

    @property
    def version(self) -> str:
        """Version of the source in go.mod, and so of the binaries."""
        return required(self.path / "go.mod", self.source) if self.source else ""


def required(go_mod: Path, module: str) -> str:
    """The version, without its `v`, at which a go.mod requires a module."""
    lines = (line.removeprefix("require ").split() for line in go_mod.read_text().splitlines())
    [version] = [words[1] for words in lines if words[:1] == [module] and len(words) > 1]
    return version.removeprefix("v")


# A main.go beside go.mod, which links no more than the lab uses.
OWN_MAIN = (".",)


def modules() -> list[Module]:
    """All modules, in the order of their builds: the longest first, last those whose libraries are compiled by then.

    etcd, flannel, kube-router and the GPU programs name the libraries of Kubernetes' go.mod at its very versions. The
    registry and Python's language host name those of pulumi's. Go then compiles them once: that saves a fifth of all
    processor time.
    A package is shared only when all that it imports is the same. (A library that is lowered by `replace` is not
    shared. CoreDNS cannot join: its pinned version does not compile against Kubernetes' client.)
    """
    return [
        _kubernetes(),
        *_pulumi(),
        _registry(),
        _container_toolkit(),
        *_cni(),
        _etcd(),
        _coredns(),
        _flannel(),
        _kube_router(),
        _gpu(),
    ]


def on_request() -> list[Module]:
    """Modules that `make up` does not build: nothing on the way to its first answer needs them."""
    return [_keda(), _victoria_logs()]


def _victoria_logs() -> Module:
    """The server of logs and its collector; their version is set by the linker."""
    name, source = "victoria-logs", "github.com/VictoriaMetrics/VictoriaLogs"
    version = required(REPO / "lab/tools" / name / "go.mod", source)
    return Module(
        name,
        ("victoria-logs", "vlagent"),
        source,
        versions()["logs"]["victoria_logs"],
        cost_s=40,
        ldflags=f"-X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=v{version}",
    )


def _kubernetes() -> Module:
    """Kubernetes' programs; their version is set by the linker."""
    name, source = "kubernetes", "k8s.io/kubernetes"
    version = required(REPO / "lab/tools" / name / "go.mod", source)
    major, minor, _ = version.split(".")
    component = "k8s.io/component-base/version."
    return Module(
        name,
        (
            "kubelet",
            "kubeadm",
            "kubectl",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
        ),
        source,
        versions()["kubernetes"]["version"],
        cost_s=650,
        on_path=True,
        version_args={"kubeadm": ("version", "-o", "short"), "kubectl": ("version", "--client")},
        ldflags=f"-X {component}gitVersion=v{version} -X {component}gitMajor={major} -X {component}gitMinor={minor}",
    )


def _pulumi() -> list[Module]:
    """Pulumi's engine, its provider for Kubernetes and its host for Python programs."""
    pins, sdk = versions()["tools"], "github.com/pulumi/pulumi/sdk/v3"
    return [
        Module(
            "pulumi",
            ("pulumi",),
            "github.com/pulumi/pulumi/pkg/v3",
            pins["pulumi"],
            cost_s=430,
            on_path=True,
            version_args={"pulumi": ("version",)},
        ),
        Module(
            "pulumi-kubernetes",
            ("pulumi-resource-kubernetes",),
            "github.com/pulumi/pulumi-kubernetes/provider/v2",
            pins["pulumi_kubernetes"],
            cost_s=83,
        ),
        Module(
            "pulumi-language-python",
            ("pulumi-language-python", "pulumi-language-python-exec"),
            sdk,
            pins["pulumi_language_python"],
            cost_s=12,
            # The host looks for this Python program in its own folder.
            extras=((sdk, "python/cmd/pulumi-language-python-exec"),),
        ),
    ]


def _registry() -> Module:
    return Module(
        "registry",
        ("registry",),
        "github.com/distribution/distribution/v3",
        versions()["tools"]["registry"],
        cost_s=26,
        on_path=True,
        packages=OWN_MAIN,
    )


def _container_toolkit() -> Module:
    """NVIDIA's toolkit with its systemd units."""
    name, source = "nvidia-container-toolkit", "github.com/NVIDIA/nvidia-container-toolkit"
    stacks = versions()["nvidia"]
    version = required(REPO / "lab/tools" / name / "go.mod", source)
    unit = "nvidia-cdi-refresh"
    files = (f"{unit}.service", f"{unit}.path", f"{unit}.env", "10-container-engines.conf")
    return Module(
        name,
        NVIDIA_TOOLKIT,
        source,
        stacks["stacks"][stacks["default"]]["container_toolkit"],
        cost_s=28,
        ldflags=f"-X {source}/internal/info.version={version} {BIND_NVML_LATE}",
        cgo=True,
        extras=tuple((source, f"deployments/systemd/{file}") for file in files),
    )


def _cni() -> list[Module]:
    """The CNI plugins that flannel needs, and its own."""
    name, source, pins = "cni-plugins", "github.com/containernetworking/plugins", versions()["kubernetes"]
    version = required(REPO / "lab/tools" / name / "go.mod", source)
    return [
        Module(
            "flannel-cni",
            ("cni-flannel",),
            source,
            pins["flannel_cni"],
            cost_s=1,
            built_as=(("flannel", "cni-flannel"),),
        ),
        Module(
            name,
            CNI_PLUGINS,
            source,
            pins["cni_package"].partition("-")[0],
            cost_s=7,
            ldflags=f"-X {source}/pkg/utils/buildversion.BuildVersion=v{version}",
        ),
    ]


def _etcd() -> Module:
    return Module(
        "etcd",
        ("etcd", "etcdctl", "etcdutl"),
        "go.etcd.io/etcd/server/v3",
        versions()["kubernetes"]["etcd"].partition("-")[0],
        cost_s=19,
        on_path=True,
        version_args={"etcdctl": ("version",), "etcdutl": ("version",)},
        built_as=(("server", "etcd"),),
    )


def _coredns() -> Module:
    return Module(
        "coredns",
        ("coredns",),
        "github.com/coredns/coredns",
        versions()["kubernetes"]["coredns"],
        cost_s=78,
        on_path=True,
        version_args={"coredns": ("-version",)},
        packages=OWN_MAIN,
    )


def _flannel() -> Module:
    return Module(
        "flannel",
        ("flanneld",),
        "github.com/flannel-io/flannel",
        versions()["kubernetes"]["flannel"],
        cost_s=26,
        cgo=True,
        built_as=(("flannel", "flanneld"),),
    )


def _kube_router() -> Module:
    return Module(
        "kube-router",
        ("kube-router",),
        "github.com/cloudnativelabs/kube-router/v2",
        versions()["kubernetes"]["kube_router"],
        cost_s=6,
        packages=OWN_MAIN,
    )


def _keda() -> Module:
    """KEDA's operator, metrics adapter and admission webhooks, with the manifests of its release.

    All of its sources of metrics are one Go package, so that the operator links the clients of every cloud.
    """
    source = "github.com/kedacore/keda/v2"
    return Module(
        "keda",
        ("keda", "keda-adapter", "keda-admission-webhooks"),
        source,
        versions()["autoscaling"]["keda"],
        cost_s=400,
        ldflags=f"-X {source}/version.Version={required(REPO / 'lab/tools/keda/go.mod', source)}",
        built_as=(("operator", "keda"), ("adapter", "keda-adapter"), ("webhooks", "keda-admission-webhooks")),
        extras=((source, "config"),),
    )


def _gpu() -> Module:
    """The lab's device plugin and exporter."""
    return Module(
        "gpu",
        ("device-plugin", "dcgm-exporter"),
        cost_s=2,
        folder="lab/gpu/programs",
        packages=("./cmd/...",),
        ldflags=BIND_NVML_LATE,
        cgo=True,
    )
