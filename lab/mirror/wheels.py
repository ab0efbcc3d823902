"""Python wheels for the runtime image: the locked ones, fetched once, and those that are built here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab import store
from lab.paths import CONTROLLER_ENV, REPO
from lab.progress import LAST_LINE, Parts
from lab.shell import logged

LOCK = REPO / "locks/runtime-cpu.txt"
SOURCE_LOCK = REPO / "locks/runtime-source.txt"
UV_LOCK = REPO / "locks/uv.txt"
PAGE_LOCK = REPO / "locks/dashboards.txt"
# The second contains only a name by which vLLM finds its CPU build.
OWN = (REPO / "python", REPO / "lab/mirror/stand_ins/vllm-cpu-alias")
# The index has torch's CUDA build. Libraries that it links and a CPU host never calls are replaced by empty ones.
CUDA_STAND_INS = REPO / "lab/mirror/stand_ins/cuda_libraries.py"
# DeepSpeed's extensions need a GPU and its compiler: they are built where they are used.
PIP = (sys.executable, "-m", "pip", "-q")
HASHED = ("--no-deps", "--require-hashes")
SOURCE_BUILD = {"DS_BUILD_OPS": "0", "PATH": f"{CONTROLLER_ENV}/bin:{os.environ['PATH']}"}


def locked() -> Path:
    """Folder with a wheel for every line of the runtime's lock, of uv's and of the dashboards' page."""
    folder, _ = store.obtain("wheels", store.key(LOCK, UV_LOCK, PAGE_LOCK), _fetch)
    return folder


def built() -> Path:
    """Folder with the wheels that are built here: this project's, and those whose sources alone are on the index."""
    sources = sorted(
        p
        for tree in OWN
        for p in (*tree.glob("*.toml"), *tree.glob("*.md"), *tree.glob("src/**/*.py"), *tree.glob("src/**/static/*"))
    )
    folder, _ = store.obtain("code", store.key(LOCK, SOURCE_LOCK, CUDA_STAND_INS, *sources), _build)
    return folder


def _fetch(into: Path) -> None:
    for lock in (UV_LOCK, PAGE_LOCK, LOCK):
        wheels = Parts(r"^Collecting (\S+)", lock.read_text().count("=="))
        download = (sys.executable, "-m", "pip", "download", "--progress-bar", "off")
        logged("wheels", *download, *HASHED, "--only-binary", ":all:", "-r", lock, "-d", into, progress=wheels)


def _build(into: Path) -> None:
    [torch] = locked().glob("torch-*.whl")
    logged("wheels", sys.executable, CUDA_STAND_INS, torch, into)
    build = (*PIP, "wheel", "--no-build-isolation", "-w", into)
    logged("wheels", *build, *HASHED, "-r", SOURCE_LOCK, env=SOURCE_BUILD, progress=LAST_LINE)
    for project in OWN:
        logged("wheels", *build, "--no-deps", project)
