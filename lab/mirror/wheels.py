"""Python wheels for the runtime image: those that were carried here, and those that are built here."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from lab import store
from lab.mirror import bundles
from lab.paths import REPO
from lab.shell import logged

# The second contains only a name by which vLLM finds its CPU build.
OWN = (REPO / "python", REPO / "lab/mirror/stand_ins/vllm-cpu-alias")
# The index has torch's CUDA build. Libraries that it links and a CPU host never calls are replaced by empty ones.
CUDA_STAND_INS = REPO / "lab/mirror/stand_ins/cuda_libraries.py"
BUILD = (sys.executable, "-m", "pip", "-q", "wheel", "--no-build-isolation", "--no-deps")


def locked() -> Path:
    """Folder with a wheel for every line of the images' locks, imported from a signed bundle."""
    carried = bundles.wheels()
    folder, _ = store.obtain("wheels", carried.made_from, lambda into: bundles.bring([carried], "wheel", into))
    return folder / "wheels"


def built() -> Path:
    """Folder with the wheels that are built here: this project's, and DeepSpeed's, of which no index has one."""
    sources = sorted(
        p
        for tree in OWN
        for p in (*tree.glob("*.toml"), *tree.glob("*.md"), *tree.glob("src/**/*.py"), *tree.glob("src/**/static/*"))
    )
    folder, _ = store.obtain("code", store.key(*bundles.LOCKS, CUDA_STAND_INS, *sources), _build)
    return folder


def _build(into: Path) -> None:
    [torch] = locked().glob("torch-*.whl")
    [deepspeed] = locked().glob("deepspeed-*.whl")
    logged("wheels", sys.executable, CUDA_STAND_INS, torch, into)
    shutil.copy(deepspeed, into)
    for project in OWN:
        logged("wheels", *BUILD, "-w", into, project)
