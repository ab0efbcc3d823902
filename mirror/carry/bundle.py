"""bundle.json: every file that is carried to a site, with size and SHA-256, and its signature.

    {"format": 1, "site": REGISTRY, "files": [{"path", "size", "sha256"}, ...]}

It is written when everything is there. The signature in bundle.json.sig is Ed25519 over its bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from qwen_runtime import signature
from qwen_runtime.errors import Fault, UsageError

FORMAT = 1
NAME = "bundle.json"
SIGNATURE = f"{NAME}{signature.SUFFIX}"
AGAIN = "Copy it again from where it was filled."


@dataclass(frozen=True, slots=True)
class File:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Bundle:
    site: str
    """The registry of the site that it was filled for."""
    files: tuple[File, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)


def forget(folder: Path) -> None:
    """Take the list away before files change: without it the folder is not whole."""
    for name in (NAME, SIGNATURE):
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, site: str) -> Bundle:
    """List every file of the folder, whole or not at all."""
    paths = sorted(_paths(folder))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(lambda path: sha256(folder / path), paths)
        files = tuple(File(p, (folder / p).stat().st_size, d) for p, d in zip(paths, digests, strict=True))
    partial = folder / f".{NAME}.partial"
    lines = ",\n".join(json.dumps(asdict(file)) for file in files)
    partial.write_text(f'{{"format": {FORMAT}, "site": {json.dumps(site)}, "files": [\n{lines}\n]}}\n')
    partial.replace(folder / NAME)
    return Bundle(site, files)


def read(folder: Path) -> Bundle:
    """The list of a folder, or a list by itself. Raises UsageError where there is none, or where it is not one."""
    file = folder / NAME if folder.is_dir() else folder
    if not file.is_file():
        raise UsageError(f"no file {file}", "a folder that was filled to its end", "Run `qwen-mirror fill` to its end.")
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        files = tuple(File(**entry) for entry in document["files"])
        return Bundle(document["site"], files)
    except (ValueError, KeyError, TypeError) as problem:
        raise UsageError(f"{file}: {problem}", f"a list of format {FORMAT}", AGAIN) from problem


def sign(folder: Path, key: Path) -> None:
    """Sign the list with a private key, PEM of an Ed25519 key. Raises Error."""
    read(folder)
    signature.sign(folder / NAME, key)


def verify(folder: Path, key: Path) -> Iterator[Fault]:
    """Faults of the signature, or else of each file that is missing, changed or not listed.

    Nothing is asked of a network. Raises UsageError where there is no list or no key.
    """
    bundle = read(folder)
    fault = signature.fault(folder / NAME, key)
    if fault:
        yield fault
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(lambda file: _fault(folder, file), bundle.files))
    for path in sorted(_paths(folder) - {file.path for file in bundle.files}):
        yield Fault(path, "a file that is not listed", "listed files only", "Remove it, or fill the folder again.")


def _fault(folder: Path, file: File) -> Fault | None:
    path = folder / file.path
    if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts:
        return Fault(file.path, "a path out of the folder", "a path below it", AGAIN)
    if path.is_symlink() or not path.is_file():
        return Fault(file.path, "no file", f"{file.size} bytes", AGAIN)
    if path.stat().st_size != file.size:
        return Fault(file.path, f"{path.stat().st_size} bytes", f"{file.size} bytes", AGAIN)
    digest = sha256(path)
    return Fault(file.path, f"sha256:{digest}", f"sha256:{file.sha256}", AGAIN) if digest != file.sha256 else None


def _paths(folder: Path) -> set[str]:
    """Every file below the folder, without the list itself and what an ended run left half-made."""
    files = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    names = {path.relative_to(folder).as_posix() for path in files if not path.name.endswith(".partial")}
    return names - {NAME, SIGNATURE}


def sha256(path: Path) -> str:
    """Digest of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
