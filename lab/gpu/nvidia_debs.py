"""Stand-ins for NVIDIA's Debian packages, for every row of versions.yml. The container toolkit in them is the real one.

A production mirror copies the packages from NVIDIA's apt repositories. The lab cannot reach them, and they are
proprietary.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from lab.deb import UNITS, install, package, write
from lab.paths import BIN, REPO
from lab.shell import output
from lab.tools.go_modules import NVIDIA_TOOLKIT
from lab.versions import versions

SOURCES = REPO / "lab/gpu/nvidia"
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
LDCONFIG = {"triggers": "activate-noawait ldconfig\n"}
CONFIGURE_TOOLKIT = """\
#!/bin/sh
set -e
[ "$1" != configure ] ||
  /usr/bin/nvidia-ctk --quiet config --config-file=/etc/nvidia-container-runtime/config.toml --in-place
"""


def sources() -> list[Path]:
    """Files that the packages are made of."""
    stand_ins = sorted(path for path in SOURCES.iterdir() if path.is_file())
    return [Path(__file__), *stand_ins, *((BIN / name).resolve() for name in NVIDIA_TOOLKIT)]


def build(scratch: Path, into: Path) -> None:
    stacks: list[dict[str, Any]] = list(versions()["nvidia"]["stacks"].values())
    for stack in stacks:
        trees = scratch / stack["cuda"]
        _driver(trees, into, stack["driver"], cuda_version=_number(stack["cuda"]))
        _fabric_manager(trees, into, stack["fabric_manager"])
        _cuda(trees, into, stack["cuda"])
        _cudnn(trees, into, stack["cudnn"], stack["cuda"])
    for version in {stack["container_toolkit"] for stack in stacks}:
        _container_toolkit(scratch / f"toolkit-{version}", into, version)


def _driver(trees: Path, into: Path, version: str, cuda_version: int) -> None:
    revision = f"{version}-1"
    flags = (f'-DVERSION="{version}"', f"-DCUDA_VERSION={cuda_version}")
    for name, source, soname in (("libnvidia-ml1", "nvml", "libnvidia-ml.so"), ("libcuda1", "cuda", "libcuda.so")):
        _library(trees / name, source, soname, "1", version, *flags)
        package(trees / name, into, revision, control=LDCONFIG)
    _program(trees / "nvidia-smi/usr/bin/nvidia-smi", "nvidia_smi.py", "rack_nvml.py")
    package(trees / "nvidia-smi", into, revision, f"libnvidia-ml1 (= {revision}), python3")

    firmware = trees / "firmware-nvidia-gsp"
    write(firmware / f"usr/lib/firmware/nvidia/{version}/gsp_ga10x.bin", "stand-in\n")
    package(firmware, into, revision)
    support = trees / "nvidia-kernel-support"
    _script("depmod.sh", support / "usr/lib/nvidia/depmod", version)
    package(support, into, revision, f"firmware-nvidia-gsp (= {revision})")
    kernel = trees / "nvidia-kernel-open-dkms"
    _script("module.sh", kernel / "usr/lib/nvidia/module", version)
    install(SOURCES / "modprobe.conf", kernel / "etc/modprobe.d/nvidia-module.conf", 0o644)
    _unit("nvidia-modules-load.service", kernel, wanted_by="sysinit.target")
    _unit("nvidia-module.service", kernel, wanted_by="multi-user.target")
    package(
        kernel, into, revision, f"nvidia-kernel-support (= {revision}), kmod, mount",
        control={"postinst": "#!/bin/sh\nexec /usr/lib/nvidia/depmod\n"},
    )  # fmt: skip
    daemon = trees / "nvidia-persistenced"
    _script("persistenced.sh", daemon / "usr/bin/nvidia-persistenced", version)
    _unit("nvidia-persistenced.service", daemon)
    package(daemon, into, revision)


def _fabric_manager(trees: Path, into: Path, version: str) -> None:
    """Pack the fabric manager. Its package's name has the driver's branch up to 575, and no branch from 580 on."""
    branch = version.split(".")[0]
    tree = trees / (f"nvidia-fabricmanager-{branch}" if int(branch) < 580 else "nvidia-fabricmanager")
    _script("fabricmanager.sh", tree / "usr/bin/nv-fabricmanager", version)
    write(tree / "usr/share/nvidia/nvswitch/fabricmanager.cfg", "LOG_LEVEL=4\nFABRIC_MODE=0\n")
    _unit("nvidia-fabricmanager.service", tree)
    package(tree, into, f"{version}-1", Conflicts="nvidia-fabricmanager", Provides="nvidia-fabricmanager")


def _cuda(trees: Path, into: Path, version: str) -> None:
    series = ".".join(version.split(".")[:2])
    tree = trees / f"cuda-toolkit-{series.replace('.', '-')}"
    home = f"/usr/local/cuda-{series}"
    write(tree / home[1:] / "version.json", f'{{"cuda": {{"name": "CUDA SDK", "version": "{version}"}}}}\n')
    nvcc = tree / home[1:] / "bin/nvcc"
    write(nvcc, f'#!/bin/sh\necho "Cuda compilation tools, release {series}, V{version} (stand-in)"\n')
    nvcc.chmod(0o755)
    rank = series.replace(".", "")
    link = f"#!/bin/sh\nset -e\nupdate-alternatives --install /usr/local/cuda cuda {home} {rank}\n"
    unlink = f'#!/bin/sh\nset -e\n[ "$1" != remove ] || update-alternatives --remove cuda {home}\n'
    package(tree, into, f"{version}-1", control={"postinst": link, "prerm": unlink})


def _cudnn(trees: Path, into: Path, version: str, cuda: str) -> None:
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    cuda_major, cuda_minor = cuda.split(".")[:2]
    name = f"libcudnn{major}" + (f"-cuda-{cuda_major}" if major >= 9 else "")
    number = major * (10000 if major >= 9 else 1000) + minor * 100 + patch
    _library(trees / name, "cudnn", "libcudnn.so", str(major), f"{major}.{minor}.{patch}", f"-DCUDNN_VERSION={number}")
    revision = f"{version}-1" + ("" if major >= 9 else f"+cuda{cuda_major}.{cuda_minor}")
    package(trees / name, into, revision, control=LDCONFIG)


def _container_toolkit(trees: Path, into: Path, version: str) -> None:
    base = trees / "nvidia-container-toolkit-base"
    built = (BIN / NVIDIA_TOOLKIT[0]).resolve().parent
    for name in NVIDIA_TOOLKIT[:3]:
        install(built / name, base / "usr/bin" / name, 0o755)
    for unit in ("nvidia-cdi-refresh.service", "nvidia-cdi-refresh.path"):
        install(built / unit, base / UNITS / unit, 0o644)
    engines = "10-container-engines.conf"
    install(built / engines, base / UNITS / "nvidia-cdi-refresh.service.d" / engines, 0o644)
    settings = "etc/nvidia-container-toolkit/nvidia-cdi-refresh.env"
    install(built / "nvidia-cdi-refresh.env", base / settings, 0o644)
    package(base, into, f"{version}-1", control={"postinst": CONFIGURE_TOOLKIT, "conffiles": f"/{settings}\n"})
    hook = trees / "nvidia-container-toolkit"
    install(built / NVIDIA_TOOLKIT[3], hook / "usr/bin" / NVIDIA_TOOLKIT[3], 0o755)
    needs = f"nvidia-container-toolkit-base (= {version}-1), libnvidia-container-tools (>= {version}-1)"
    package(hook, into, f"{version}-1", needs)
    # The older C library and its tools: CDI does not use them.
    package(trees / "libnvidia-container1", into, f"{version}-1")
    package(trees / "libnvidia-container-tools", into, f"{version}-1", f"libnvidia-container1 (>= {version}-1)")


def _library(tree: Path, source: str, soname: str, abi: str, version: str, *flags: str) -> None:
    target = tree / LIBRARIES / f"{soname}.{version}"
    target.parent.mkdir(parents=True)
    output(
        *("gcc", "-shared", "-fPIC", "-O1", "-s", f"-Wl,-soname,{soname}.{abi}", *flags),
        *("-o", target, SOURCES / f"{source}.c"),
    )
    (target.parent / f"{soname}.{abi}").symlink_to(target.name)


def _program(target: Path, main: str, *modules: str) -> None:
    """Make a program of one file, since a CDI specification names one: an archive of modules, run by Python."""
    target.parent.mkdir(parents=True)
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(SOURCES / main, "__main__.py")
        for folder in ("lab", "lab/gpu", "lab/gpu/nvidia"):
            archive.writestr(f"{folder}/__init__.py", "")
        for module in modules:
            archive.write(SOURCES / module, f"lab/gpu/nvidia/{module}")
    target.write_bytes(b"#!/usr/bin/python3\n" + target.read_bytes())
    target.chmod(0o755)


def _script(source: str, target: Path, version: str) -> None:
    write(target, (SOURCES / source).read_text().replace("@VERSION@", version))
    target.chmod(0o755)


def _unit(name: str, tree: Path, wanted_by: str = "") -> None:
    install(SOURCES / name, tree / UNITS / name, 0o644)
    if wanted_by:
        wants = tree / UNITS / f"{wanted_by}.wants"
        wants.mkdir(parents=True)
        (wants / name).symlink_to(f"../{name}")


def _number(cuda: str) -> int:
    """CUDA's version as the driver returns it: 12.2.2 is 12020."""
    major, minor, _ = (int(part) for part in cuda.split("."))
    return major * 1000 + minor * 10
