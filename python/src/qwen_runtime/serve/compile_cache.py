"""Compiled code of an engine, kept from one start to the next.

An engine writes into a folder of its own. When it is ready for the first time, a copy is put in its place at once, with
the digest of each file. A later start gets a checked copy. Whatever is wrong with what was kept, the engine starts
without it; so no start depends on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from qwen_runtime.engine.spec import CACHES
from qwen_runtime.serve import journal

LISTING = "digests.json"
KEPT_AT_MOST = 4
"""Kept copies beside each other: those of the images and plans that a site may go back to."""


class CompileCache:
    def __init__(self, kept: Path, used: Path) -> None:
        """kept: the copy for exactly this image and plan; folders beside it belong to others. used: the engine's own
        folder, which is at the same path in every start, since compilers write down paths."""
        self._kept, self._used = kept, used
        self._taken = False
        """Whether the engine was given the kept copy."""

    def take(self) -> None:
        """Makes the engine's folder, with what was kept if it is whole."""
        shutil.rmtree(self._used, ignore_errors=True)
        self._used.mkdir(parents=True)
        if not self._kept.exists():
            journal.event("compile-cache-empty", f"{self._kept} does not exist yet: the engine compiles anew")
            return
        try:
            size_bytes = self._copy_checked()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self._refuse(str(error))
            shutil.rmtree(self._used, ignore_errors=True)
            self._used.mkdir(parents=True)
        else:
            self._taken = True
            journal.event("compile-cache-taken", f"{self._kept} is whole", size_bytes=size_bytes)

    def environment(self) -> dict[str, str]:
        """Variables that send the compilers to the engine's folder."""
        return {name: str(self._used / folder) for name, folder in CACHES.items()}

    def keep_in_background(self) -> None:
        """Keeps what the engine has compiled, unless it was taken from there; serving does not wait for it."""
        if not self._taken:
            threading.Thread(target=self._keep, name="keep", daemon=True).start()

    def blame(self, reason: str) -> None:
        """Throws the kept copy away after an engine that was given it died before it was ready."""
        if self._taken:
            self._refuse(reason)

    def _copy_checked(self) -> int:
        """Bytes that were copied. Raises ValueError for a file that is not as it was kept."""
        size_bytes = 0
        for name, digest in json.loads((self._kept / LISTING).read_bytes()).items():
            source, target = self._kept / name, self._used / name
            if not target.resolve().is_relative_to(self._used.resolve()):
                raise ValueError(f"{name} lies outside")
            content = source.read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError(f"{name} is not as it was kept")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            shutil.copymode(source, target)
            size_bytes += len(content)
        return size_bytes

    def _keep(self) -> None:
        try:
            with tempfile.TemporaryDirectory(dir=self._kept.parent, prefix=".new-", ignore_cleanup_errors=True) as new:
                copy = Path(new, self._kept.name)
                digests = {name: _copy(self._used / name, copy / name) for name in sorted(_files(self._used))}
                if not digests:
                    return
                (copy / LISTING).write_text(json.dumps(digests))
                os.rename(copy, self._kept)
            self._forget_oldest()
        except OSError as error:
            # Another pod of this host may have been first.
            journal.event("compile-cache-not-kept", str(error))
        else:
            journal.event("compile-cache-kept", f"{self._kept} has {len(digests)} files for the next start")

    def _forget_oldest(self) -> None:
        beside = [folder for folder in self._kept.parent.iterdir() if (folder / LISTING).exists()]
        for folder in sorted(beside, key=lambda one: -one.stat().st_mtime)[KEPT_AT_MOST:]:
            shutil.rmtree(folder, ignore_errors=True)

    def _refuse(self, reason: str) -> None:
        journal.event("compile-cache-refused", f"{self._kept} is thrown away: {reason}")
        shutil.rmtree(self._kept, ignore_errors=True)
        self._taken = False


def _files(folder: Path) -> Iterator[str]:
    """Regular files below a folder, by their paths in it."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(folder))


def _copy(source: Path, target: Path) -> str:
    """Copies a file; returns the SHA-256 of what was written."""
    content = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    shutil.copymode(source, target)
    return hashlib.sha256(content).hexdigest()
