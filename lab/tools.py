"""The pinned tools: built from Go modules whose go.mod and go.sum are committed under lab/tools/.

A tool of the pinned version that is already on PATH is used as it is; a build is kept in the cache and never repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab import store
from lab.errors import LabError
from lab.paths import BIN, CACHE, REPO
from lab.shell import attempt, logged, output
from lab.versions import versions


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module of lab/tools (or lab/gpu): its binaries, and how a binary tells its version.

    binaries:     file names that `go build tool` leaves, as the rest of the lab asks for them
    version:      pinned version; empty when there is nothing on PATH to compare with
    version_args: arguments that make the binaries print their version; of one that differs, under its name
    built_as:     names under which Go leaves binaries that the lab calls otherwise
    extras:       files that come with the source and belong beside the binaries: Go module, path in it
    """

    name: str
    binaries: tuple[str, ...]
    version: str = ""
    version_args: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ldflags: str = ""
    cgo: bool = False
    built_as: tuple[tuple[str, str], ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    folder: str = "lab/tools"
    packages: tuple[str, ...] = ("tool",)

    @property
    def path(self) -> Path:
        return REPO / self.folder / self.name


def modules() -> list[Module]:
    kubernetes = versions()["kubernetes"]
    tools = versions()["tools"]
    major, minor, _ = kubernetes["version"].split(".")
    component = "k8s.io/component-base/version."
    return [
        Module("registry", ("registry",), tools["registry"]),
        Module(
            "kubernetes",
            (
                "kubelet",
                "kubeadm",
                "kubectl",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kube-proxy",
            ),
            kubernetes["version"],
            {"kubeadm": ("version", "-o", "short"), "kubectl": ("version", "--client")},
            ldflags=f"-X {component}gitVersion=v{kubernetes['version']}"
            f" -X {component}gitMajor={major} -X {component}gitMinor={minor}",
        ),
        Module(
            "etcd",
            ("etcd", "etcdctl", "etcdutl"),
            kubernetes["etcd"],
            {"etcdctl": ("version",), "etcdutl": ("version",)},
            built_as=(("server", "etcd"),),
        ),
        Module("coredns", ("coredns",), kubernetes["coredns"], {"coredns": ("-version",)}),
        Module("flannel", ("flanneld",), cgo=True, built_as=(("flannel", "flanneld"),)),
        Module("flannel-cni", ("cni-flannel",), built_as=(("flannel", "cni-flannel"),)),
        Module("pulumi-kubernetes", ("pulumi-resource-kubernetes",)),
        Module("pulumi", ("pulumi",), tools["pulumi"], {"pulumi": ("version",)}),
        # The host looks for its Python half beside itself.
        Module(
            "pulumi-language-python",
            ("pulumi-language-python", "pulumi-language-python-exec"),
            extras=(("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
        ),
        _container_toolkit(),
        Module("gpu", ("device-plugin", "dcgm-exporter"), folder="lab", packages=("./cmd/...",)),
    ]


def _container_toolkit() -> Module:
    """NVIDIA's toolkit with its systemd units. It looks NVML's functions up when it calls them, so binding is lazy."""
    toolkit = "github.com/NVIDIA/nvidia-container-toolkit"
    stacks = versions()["nvidia"]
    version = stacks["stacks"][stacks["default"]]["container_toolkit"]
    unit = "nvidia-cdi-refresh"
    files = (f"{unit}.service", f"{unit}.path", f"{unit}.env", "10-container-engines.conf")
    return Module(
        "nvidia-container-toolkit",
        ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime", "nvidia-container-runtime-hook"),
        ldflags=f"-X {toolkit}/internal/info.version={version} -extldflags=-Wl,-z,lazy",
        cgo=True,
        extras=tuple((toolkit, f"deployments/systemd/{file}") for file in files),
    )


def build() -> str | None:
    """Make every tool available under BIN; returns what was built, None when nothing was."""
    built = []
    sources: dict[str, Path] = {}
    for module in modules():
        on_path = _on_path(module)
        if on_path:
            sources |= on_path
            continue
        folder, made = store.obtain(f"tools/{module.name}", _key(module), partial(_compile, module))
        sources |= {b: folder / b for b in module.binaries}
        if made:
            built.append(module.name)
            print(f"      built {module.name}", flush=True)
    pause, made = store.obtain("tools/pause", _pause_key(), _compile_pause)
    sources["pause"] = pause / "pause"
    if made:
        built.append("pause")
    _link(sources)
    if built:
        # 12 GB that nothing needs again: what was built lies in the cache.
        logged("tools", "go", "clean", "-modcache", "-cache", env=_environment())
    return f"built {', '.join(built)}" if built else None


def _on_path(module: Module) -> dict[str, Path]:
    """The module's binaries on PATH when all are there at the pinned version, else nothing."""
    found = {b: Path(p) for b in module.binaries if (p := shutil.which(b))}
    if not module.version or len(found) != len(module.binaries):
        return {}
    pinned = all(_says(module, name, path) for name, path in found.items())
    return found if pinned else {}


def _says(module: Module, name: str, path: Path) -> bool:
    """Whether a binary calls itself by the pinned version."""
    answer = attempt(path, *module.version_args.get(name, ("--version",)))
    words = (answer.stdout + answer.stderr).replace("CoreDNS-", "").split()
    return bool({module.version, f"v{module.version}"} & set(words))


def _key(module: Module) -> str:
    sources = sorted(module.path.rglob("*.go"))
    return store.key(
        module.path / "go.mod",
        module.path / "go.sum",
        *sources,
        module.ldflags,
        str(module.cgo),
        " ".join(module.binaries),
    )


def _compile(module: Module, into: Path) -> None:
    logged(
        "tools",
        *(
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            f"-s -w {module.ldflags}".strip(),
            "-o",
            f"{into}/",
            *module.packages,
        ),
        cwd=module.path,
        env=_environment(cgo=module.cgo),
    )
    for built, wanted in module.built_as:
        (into / built).rename(into / wanted)
    for go_module, path in module.extras:
        source = output("go", "list", "-m", "-f", "{{.Dir}}", go_module, cwd=module.path, env=_environment())
        shutil.copy(Path(source) / path, into)
        (into / Path(path).name).chmod(0o755)
    missing = [b for b in module.binaries if not (into / b).exists()]
    if missing:
        raise LabError(
            f"building {module.name} left no {', '.join(missing)}", "all of its binaries", f"read {module.path}/go.mod"
        )


def _pause_key() -> str:
    return store.key(REPO / "lab/tools/kubernetes/go.mod", versions()["kubernetes"]["pause"])


def _compile_pause(into: Path) -> None:
    module = REPO / "lab/tools/kubernetes"
    logged("tools", "go", "mod", "download", "k8s.io/kubernetes", cwd=module, env=_environment())
    source = output("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes", cwd=module, env=_environment())
    logged(
        "tools",
        *("gcc", "-static", "-Os", f"-DVERSION={versions()['kubernetes']['pause']}"),
        *("-o", into / "pause", Path(source) / "build/pause/linux/pause.c"),
    )


def _environment(*, cgo: bool = False) -> dict[str, str]:
    return {
        "CGO_ENABLED": "1" if cgo else "0",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(CACHE / "go/build"),
        "GOMODCACHE": str(CACHE / "go/mod"),
    }


def _link(sources: dict[str, Path]) -> None:
    """One folder for PATH and for image builds, whatever a binary's origin."""
    BIN.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        link = BIN / name
        if not (link.is_symlink() and link.readlink() == source):
            link.unlink(missing_ok=True)
            link.symlink_to(source)
