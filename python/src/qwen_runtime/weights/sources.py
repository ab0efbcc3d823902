"""Where a model's files can be had: a directory here, a mirror or a neighbour by HTTP (http_source.py).

A source only brings bytes. Whether they are the right ones is for the manifest to say, and for whoever asked.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

from qwen_runtime.weights.files import MANIFEST_NAME, shape_fault
from qwen_runtime.weights.manifest import MAX_BYTES, FileEntry


class SourceFault(Exception):
    """A source did not do what it should; another one may, or the same one later."""

    def __init__(self, found: str, needed: str) -> None:
        self.found, self.needed = found, needed
        super().__init__(f"found: {found}; needed: {needed}")


class Unreachable(SourceFault):
    """The source did not answer, or broke off."""


class NotYet(SourceFault):
    """The source says that it will have the file, or time for it, later."""


class Body(Protocol):
    """A file's bytes from `begins_at` to its end."""

    begins_at: int

    def readinto(self, view: memoryview) -> int:
        """Bytes put into the view, at least one; 0 once the whole file was read. SourceFault where it breaks off."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    label: str

    def manifest(self) -> bytes:
        """The source's manifest.json. SourceFault where it has none."""
        ...

    def open(self, entry: FileEntry, offset: int) -> Body:
        """The file from `offset` on, or from the beginning where the source cannot do that. SourceFault otherwise."""
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
