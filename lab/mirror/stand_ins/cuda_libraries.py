"""Make a wheel of empty CUDA libraries: torch's CUDA build then loads on a host without GPUs, and takes 3 GB less.

    python cuda_libraries.py TORCH_WHEEL OUT_DIR

PyPI's torch for Linux links against NVIDIA's libraries even where only its CPU code runs. A stand-in has the name, the
symbol versions and the functions that this torch asks for, and every function returns 1, an error code in all of these
interfaces. libcudart is not replaced: it is small, and it reports that there is no GPU.
Needs gcc and readelf. The wheel replaces the packages that LIBRARIES names.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

# Each library with the prefix of its functions, which tells it where a symbol has no version, and its real package.
LIBRARIES = {
    "libcublas.so.13": ("cublas", "nvidia-cublas"),
    "libcublasLt.so.13": ("cublasLt", "nvidia-cublas"),
    "libcudnn.so.9": ("cudnn", "nvidia-cudnn-cu13"),
    "libcufft.so.12": ("cufft", "nvidia-cufft"),
    "libcufile.so.0": ("cuFile", "nvidia-cufile"),
    "libcupti.so.13": ("cupti", "nvidia-cuda-cupti"),
    "libcurand.so.10": ("curand", "nvidia-curand"),
    "libcusolver.so.12": ("cusolver", "nvidia-cusolver"),
    "libcusparse.so.12": ("cusparse", "nvidia-cusparse"),
    "libcusparseLt.so.0": ("cusparseLt", "nvidia-cusparselt-cu13"),
    "libnccl.so.2": ("nccl", "nvidia-nccl-cu13"),
    "libnvrtc.so.13": ("nvrtc", "nvidia-cuda-nvrtc"),
    "libnvshmem_host.so.3": ("nvshmem", "nvidia-nvshmem-cu13"),
}
NAME = "cuda_stand_ins"
SYMBOL = re.compile(r" UND (\w+)(?:@(\S+))?(?: \(\d+\))?$", re.MULTILINE)


def read_wanted(libraries: list[Path]) -> dict[str, dict[str, set[str]]]:
    """Functions that torch's libraries take from each library, by library and symbol version ("" for none)."""
    wanted: dict[str, dict[str, set[str]]] = {library: defaultdict(set) for library in LIBRARIES}
    longest_first = sorted(LIBRARIES, key=lambda library: -len(LIBRARIES[library][0]))
    for path in libraries:
        table = subprocess.run(["readelf", "-W", "--dyn-syms", path], check=True, capture_output=True, text=True).stdout
        for function, version in SYMBOL.findall(table):
            if version in LIBRARIES:
                wanted[version][version].add(function)
            elif not version or version == "NVSHMEM":
                owner = next((name for name in longest_first if function.startswith(LIBRARIES[name][0])), None)
                if owner:
                    wanted[owner][version].add(function)
    return wanted


def compile_stand_in(library: str, versions: dict[str, set[str]], out: Path) -> None:
    source, script = out.with_suffix(".c"), out.with_suffix(".map")
    functions = sorted(set().union(*versions.values()))
    source.write_text("".join(f"int {function}(void) {{ return 1; }}\n" for function in functions))
    nodes = [f"{version} {{ global: {'; '.join(sorted(names))}; }};" for version, names in versions.items() if version]
    script.write_text("\n".join(nodes))
    flags = [f"-Wl,--version-script={script}"] if nodes else []
    flags += ["-shared", "-fPIC", "-O0", "-w", "-fno-builtin", "-s", f"-Wl,-soname,{library}"]
    subprocess.run(["gcc", *flags, "-o", out, source], check=True)


def build(torch_wheel: Path, out_dir: Path) -> Path:
    version = torch_wheel.name.split("-")[1]
    out_dir.mkdir(parents=True, exist_ok=True)
    result = out_dir / f"{NAME}-{version}-py3-none-manylinux_2_28_x86_64.whl"
    with tempfile.TemporaryDirectory(dir=out_dir) as work, zipfile.ZipFile(torch_wheel) as wheel:
        names = [name for name in wheel.namelist() if re.fullmatch(r"torch/lib/[^/]*\.so", name)]
        wanted = read_wanted([Path(wheel.extract(name, work)) for name in names])
        files: dict[str, bytes] = {}
        for library, versions in wanted.items():
            stand_in = Path(work) / library
            compile_stand_in(library, versions or {"": set()}, stand_in)
            files[f"torch/lib/{library}"] = stand_in.read_bytes()
        write_wheel(result, version, files)
    return result


def write_wheel(path: Path, version: str, files: dict[str, bytes]) -> None:
    information = f"{NAME}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {NAME.replace('_', '-')}\nVersion: {version}\n"
    tags = (
        "Wheel-Version: 1.0\nGenerator: cuda_libraries.py\nRoot-Is-Purelib: false\n"
        "Tag: py3-none-manylinux_2_28_x86_64\n"
    )
    files = {**files, f"{information}/METADATA": metadata.encode(), f"{information}/WHEEL": tags.encode()}
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{information}/RECORD"] = "\n".join([*record, f"{information}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name), data)  # a fixed date: the same input gives the same wheel


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
