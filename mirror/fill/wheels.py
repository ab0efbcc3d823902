"""Wheels by pip, with the digests of their locks."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from qwen_runtime.weights.progress import Progress

from mirror import systems
from mirror.item import Item
from mirror.needs.files import SOURCE_LOCK
from mirror.tools import programs

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
HASHED = ("--progress-bar=raw", "--no-deps", "--require-hashes")
# DeepSpeed's extensions need a GPU and its compiler: they are built where they are used.
SOURCE_BUILD = {"DS_BUILD_OPS": "0"}
FAR = re.compile(r"Progress (\d+) of (\d+)$")


class Downloads(Progress):
    """Progress of pip, which says how far each file is.

    An index does not say how large all files are, so that the time left follows from their number.
    """

    def __init__(self, group: str, files: int) -> None:
        super().__init__("", 0, sys.stderr)
        self._group, self._files = group, files
        self._begun = 0
        self._ended_bytes = 0
        self._file = (0, 0)

    def takes(self, line: str) -> bool:
        """Read a line of pip; whether it only says how far pip is."""
        if found := FAR.match(line):
            self._file = int(found[1]), int(found[2])
        elif line.lstrip().startswith("Collecting "):
            self._begun += 1
            self._ended_bytes += self._file[0]
            self._file = (0, 0)
        self._what = f"wheels of {self._group}: {self._begun} of {self._files}"
        self._done_bytes = self._ended_bytes + self._file[0]
        return bool(found)

    def _share(self) -> float:
        done, size = self._file
        return (max(self._begun - 1, 0) + (done / size if size else 0)) / self._files


def fetch(items: Sequence[Item], out: Path) -> None:
    """Put the wheels of each lock into out/wheels, those for its Python. Raises ToolError."""
    folder = out / "wheels"
    folder.mkdir(exist_ok=True)
    for group, found in groupby(items, lambda item: item.group):
        members = list(found)
        far = Downloads(group, len(members))
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements, far:
            for item in members:
                hashes = " ".join(f"--hash={digest}" for digest in item.digests)
                requirements.write(f"{item.name}=={item.version} {hashes}\n")
            requirements.flush()
            argv = [*_pip(group, folder), "-r", requirements.name]
            programs.run(argv, f"wheels of {group}", environment=_environment(), progress=far, takes=far.takes)


def _environment() -> dict[str, str]:
    return {**os.environ, **SOURCE_BUILD}


def _pip(group: str, folder: Path) -> list[str]:
    """pip's command for a lock: the index has some projects as source only, and their wheel is built here."""
    if group.startswith(SOURCE_LOCK):
        return [*PIP, "wheel", *HASHED, "--no-build-isolation", "--wheel-dir", str(folder)]
    python = group.rpartition(" ")[2]
    target = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    target += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    target += [f"--platform={platform}" for platform in systems.platforms(python)]
    return [*PIP, "download", *HASHED, *target, "--dest", str(folder)]
