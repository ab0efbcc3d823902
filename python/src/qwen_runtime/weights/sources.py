"""Sources of a model's files: a directory on this host, or a mirror or a neighbour over HTTP (http_source.py).

A source only brings bytes. The caller checks them against the manifest.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

from qwen_runtime.weights.files import MANIFEST_NAME, shape_fault
from qwen_runtime.weights.manifest import MAX_BYTES, FileEntry


class SourceFault(Exception):
    """A source failed; another one, or the same one later, may succeed."""

    def __init__(self, found: str, needed: str) -> None:
        self.found, self.needed = found, needed
        super().__init__(f"found: {found}; needed: {needed}")


class Unreachable(SourceFault):
    """The source did not answer, or broke off."""


class NotYet(SourceFault):
    """The source says that it has no file, or no time for it, yet."""


class Body(Protocol):
    """Bytes of a file from `begins_at` to its end."""

    begins_at: int

    def readinto(self, view: memoryview) -> int:
        """Number of bytes put into the view; 0 only at the end of the file. Raises SourceFault when it breaks off."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    label: str

    def manifest(self) -> bytes:
        """The source's manifest.json. Raises SourceFault when it has none."""
        ...

    def open(self, entry: FileEntry, offset: int) -> Body:
        """The file from `offset` on, or from its beginning if the source has no ranges; or SourceFault."""
        ...

    def close(self) -> None: ...


class DirectorySource:
    def __init__(self, directory: Path) -> None:
        self.label, self._directory = str(directory), directory

    def manifest(self) -> bytes:
        with self._open(MANIFEST_NAME) as file:
            return file.read(MAX_BYTES + 1)

    def open(self, entry: FileEntry, offset: int) -> Body:
        file = self._open(entry.path, entry.size)
        file.seek(offset)
        return _FileBody(file, offset)

    def close(self) -> None:
        pass

    def _open(self, path: str, size_bytes: int | None = None) -> io.FileIO:
        if fault := shape_fault(self._directory, path, size_bytes):
            raise SourceFault(fault.found, fault.needed)
        try:
            return io.FileIO(self._directory / path)
        except OSError as error:
            raise SourceFault(f"a file that cannot be opened ({error.strerror})", "a readable file") from error


class _FileBody:
    def __init__(self, file: io.FileIO, begins_at: int) -> None:
        self._file, self.begins_at = file, begins_at

    def readinto(self, view: memoryview) -> int:
        try:
            return self._file.readinto(view)
        except OSError as error:
            raise SourceFault(f"a read error ({error.strerror})", "a readable file") from error

    def close(self) -> None:
        self._file.close()
