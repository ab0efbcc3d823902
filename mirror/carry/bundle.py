"""bundle.json: every file that is carried to a site, with size and SHA-256, and its signature.

    {"format": 1, "site": REGISTRY, "files": [{"path", "size", "sha256"}, ...]}

A file that is carried in parts has `parts`, a list of size and SHA-256, and lies in <path>.part001 and so on.
The list is written when everything is there. The signature in bundle.json.sig is Ed25519 over its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from qwen_runtime import signature
from qwen_runtime.errors import Fault, UsageError
from qwen_runtime.weights import digest
from qwen_runtime.weights.progress import on_stderr

FORMAT = 1
NAME = "bundle.json"
SIGNATURE = f"{NAME}{signature.SUFFIX}"
AGAIN = "Copy it again from where it was filled."


@dataclass(frozen=True, slots=True)
class Piece:
    """A file as it lies on the disk: a whole one, or one part."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class File:
    path: str
    size: int
    sha256: str
    parts: tuple[Part, ...] = ()

    @property
    def pieces(self) -> list[Piece]:
        """The files on the disk that it consists of, in order."""
        if not self.parts:
            return [Piece(self.path, self.size, self.sha256)]
        return [Piece(part_name(self.path, n), part.size, part.sha256) for n, part in enumerate(self.parts, 1)]

    @property
    def content(self) -> tuple[str, int, str]:
        """Path, size and digest, which say whether two files are the same, however they are carried."""
        return self.path, self.size, self.sha256


@dataclass(frozen=True, slots=True)
class Bundle:
    site: str
    """The registry of the site that it was filled for."""
    files: tuple[File, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def pieces(self) -> list[Piece]:
        return [piece for file in self.files for piece in file.pieces]


def part_name(path: str, number: int) -> str:
    return f"{path}.part{number:03}"


def forget(folder: Path) -> None:
    """Take the list away before files change: without it the folder is not whole."""
    for name in (NAME, SIGNATURE):
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, site: str) -> Bundle:
    """List every file of the folder, whole or not at all. Raises OSError for a file that cannot be read."""
    sizes = {path: (folder / path).stat().st_size for path in sorted(paths(folder))}
    sums = _sums(folder, sizes, "list")
    for digested in sums.values():
        if isinstance(digested, OSError):
            raise digested
    return save(folder, site, [File(path, size, str(sums[path])) for path, size in sizes.items()])


def save(folder: Path, site: str, files: Sequence[File]) -> Bundle:
    """Write the list of these files."""
    partial = folder / f".{NAME}.partial"
    lines = ",\n".join(json.dumps(_entry(file)) for file in files)
    partial.write_text(f'{{"format": {FORMAT}, "site": {json.dumps(site)}, "files": [\n{lines}\n]}}\n')
    partial.replace(folder / NAME)
    return Bundle(site, tuple(files))


def _entry(file: File) -> dict[str, Any]:
    return {name: value for name, value in asdict(file).items() if value != ()}


def read(folder: Path) -> Bundle:
    """The list of a folder, or a list by itself. Raises UsageError where there is none, or where it is not one."""
    file = folder / NAME if folder.is_dir() else folder
    if not file.is_file():
        raise UsageError(f"no file {file}", "a folder that was filled to its end", "Run `qwen-mirror fill` to its end.")
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        return Bundle(document["site"], tuple(map(_file, document["files"])))
    except (ValueError, KeyError, TypeError) as problem:
        raise UsageError(f"{file}: {problem}", f"a list of format {FORMAT}", AGAIN) from problem


def _file(entry: dict[str, Any]) -> File:
    return File(**{**entry, "parts": tuple(Part(**part) for part in entry.get("parts", []))})


def sign(folder: Path, key: Path) -> None:
    """Sign the list with a private key, PEM of an Ed25519 key. Raises Error."""
    read(folder)
    signature.sign(folder / NAME, key)


def verify(folder: Path, key: Path) -> Iterator[Fault]:
    """Faults of the signature, or else of each file or part that is missing, changed or not listed.

    Nothing is asked of a network. Raises UsageError where there is no list or no key.
    """
    bundle = read(folder)
    fault = signature.fault(folder / NAME, key)
    if fault:
        yield fault
        return
    pieces = bundle.pieces
    faults = {piece.path: found for piece in pieces if (found := _at_a_glance(folder, piece))}
    sums = _sums(folder, {piece.path: piece.size for piece in pieces if piece.path not in faults}, "verify")
    for piece in pieces:
        fault = faults.get(piece.path) or _by_content(piece, sums[piece.path])
        if fault:
            yield fault
    for path in sorted(paths(folder) - {piece.path for piece in pieces}):
        yield Fault(path, "a file that is not listed", "listed files only", "Remove it, or fill the folder again.")


def _at_a_glance(folder: Path, piece: Piece) -> Fault | None:
    path = folder / piece.path
    if PurePosixPath(piece.path).is_absolute() or ".." in PurePosixPath(piece.path).parts:
        return Fault(piece.path, "a path out of the folder", "a path below it", AGAIN)
    if path.is_symlink() or not path.is_file():
        return Fault(piece.path, "no file", f"{piece.size} bytes", AGAIN)
    if path.stat().st_size != piece.size:
        return Fault(piece.path, f"{path.stat().st_size} bytes", f"{piece.size} bytes", AGAIN)
    return None


def _by_content(piece: Piece, digested: str | OSError) -> Fault | None:
    if digested == piece.sha256:
        return None
    found = f"{digested.strerror} while it was read" if isinstance(digested, OSError) else f"sha256:{digested}"
    return Fault(piece.path, found, f"sha256:{piece.sha256}", AGAIN)


def _sums(folder: Path, sizes: dict[str, int], what: str) -> dict[str, str | OSError]:
    with on_stderr(what, sum(sizes.values())) as progress:
        return digest.sums(folder, sizes, progress)


def paths(folder: Path) -> set[str]:
    """Every file below the folder, without the list itself and what is hidden.

    Half-made files are hidden, and so is what a downloader or a desktop keeps for itself.
    """
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    names = {path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts)}
    return names - {NAME, SIGNATURE}


def sha256(path: Path) -> str:
    """Digest of a file in hexadecimal digits."""
    return digest.sha256_of(path)
