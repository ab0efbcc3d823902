"""A backup: a compressed tar with keep.json first, which lists every file with its SHA-256.

    {"format": 1, "site", "commit", "parts": {NAME: PLACE}, "files": {MEMBER: SHA-256}, "links": {MEMBER: TARGET}}

A member is the name of its part and the path below it. Only its owner may read the archive: it holds private keys.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from qwen_runtime.errors import Fault, UsageError

from .parts import Part, place_of

FORMAT = 1
LIST = "keep.json"
AGAIN = "Take another copy of the backup."


@dataclass(frozen=True, slots=True)
class Kept:
    site: str
    commit: str
    """Commit of the repository that the site was run from."""
    parts: dict[str, str]
    """Place by the name of a part."""
    files: dict[str, str]
    links: dict[str, str]
    format: int = FORMAT


def write(file: Path, site: str, commit: str, parts: Sequence[Part]) -> Kept:
    """Write the archive, whole or not at all. Raises UsageError where a file of that name is there."""
    if file.exists():
        raise UsageError(f"{file} is there", "a new file", "Name another one by --to.")
    members = {member: path for part in parts for member, path in _members(part)}
    files = {member: _sha256(path.read_bytes()) for member, path in members.items() if not path.is_symlink()}
    links = {member: str(path.readlink()) for member, path in members.items() if path.is_symlink()}
    kept = Kept(site, commit, {part.name: part.place for part in parts}, files, links)
    partial = file.with_name(f".{file.name}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w:gz") as tar:
                text = json.dumps(asdict(kept), indent=1).encode()
                entry = tarfile.TarInfo(LIST)
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text))
                for member, path in members.items():
                    tar.add(path, member, recursive=False)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return kept


def restore(file: Path, root: Path) -> tuple[Kept, list[Path]]:
    """Put back what is missing, after everything was verified; returns the paths that were written.

    `root`: folder that stands before every path. Raises UsageError for a damaged archive, and where another file is in
    the place of a kept one: then nothing is changed.
    """
    kept, contents = _read(file)
    targets = {member: _target(kept, member, root) for member in (*kept.files, *kept.links)}
    faults = [fault for member, path in targets.items() if (fault := _conflict(kept, member, path))]
    if faults:
        names = ", ".join(fault.subject for fault in faults)
        raise UsageError(
            f"{len(faults)} file(s) with other content: {names}", "none", "Move them away; nothing was changed."
        )
    new = {member: path for member, path in targets.items() if not os.path.lexists(path)}
    for member, path in new.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if member in kept.links:
            path.symlink_to(kept.links[member])
            continue
        content, mode = contents[member]
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
        partial.replace(path)
    return kept, list(new.values())


def _members(part: Part) -> Iterator[tuple[str, Path]]:
    """Member and path of each file and link of a part; a part may be one file."""
    if part.path.is_file():
        yield f"{part.name}/{part.path.name}", part.path
        return
    for path in sorted(part.path.rglob("*")):
        if path.is_symlink() or path.is_file():
            yield f"{part.name}/{part.path.name}/{path.relative_to(part.path).as_posix()}", path


def _read(file: Path) -> tuple[Kept, dict[str, tuple[bytes, int]]]:
    """The list, and content and mode of each file, all of which are as listed. Raises UsageError."""
    if not file.is_file():
        raise UsageError(f"no file {file}", "a backup", "Name it.")
    try:
        with tarfile.open(file) as tar:
            contents = {entry.name: (_content(tar, entry), entry.mode & 0o777) for entry in tar if entry.isreg()}
        kept = Kept(**json.loads(contents.pop(LIST)[0]))
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError, TypeError) as problem:
        raise UsageError(f"{file}: {problem}", "a whole backup", AGAIN) from problem
    damaged = [name for name, digest in kept.files.items() if _sha256(contents.get(name, (b"", 0))[0]) != digest]
    outside = [name for name in (*kept.files, *kept.links) if ".." in PurePosixPath(name).parts]
    if damaged or outside or kept.format != FORMAT:
        wrong = ", ".join([*damaged, *outside]) or f"format {kept.format}"
        raise UsageError(f"{file}: {wrong} is not as listed", "a whole backup", AGAIN)
    return kept, contents


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(entry)
    assert stream is not None, "a regular file has content"
    return stream.read()


def _target(kept: Kept, member: str, root: Path) -> Path:
    """A member's path: below the folder of its part's place, which the member names itself."""
    name, _, below = member.partition("/")
    return place_of(kept.parts[name], root).parent / below


def _conflict(kept: Kept, member: str, path: Path) -> Fault | None:
    if not os.path.lexists(path):
        return None
    if member in kept.links:
        same = path.is_symlink() and str(path.readlink()) == kept.links[member]
    else:
        same = path.is_file() and _sha256(path.read_bytes()) == kept.files[member]
    return None if same else Fault(str(path), "other content", "the kept one", "move it away")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
