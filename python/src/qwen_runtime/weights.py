"""A model directory's manifest: written once, verified wherever the files are copied to or served from.

manifest.json lists path, size and SHA-256 of every file in the directory but itself, sorted by path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from qwen_runtime import safetensors
from qwen_runtime.errors import WeightsError

MANIFEST_NAME = "manifest.json"
FORMAT = 1
CHUNK_BYTES = 1 << 20
STAGE_AGAIN = "Stage the model again from its source."


@dataclass(frozen=True, slots=True)
class FileEntry:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    model: str
    revision: str
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True, slots=True)
class Fault:
    file: str
    found: str
    expected: str
    remedy: str = STAGE_AGAIN

    def __str__(self) -> str:
        return f"{self.file}: found {self.found}, expected {self.expected}. {self.remedy}"


def write_manifest(directory: Path, model: str, revision: str) -> Manifest:
    """Digests every file and writes the manifest, whole or not at all."""
    paths = sorted(_files(directory))
    if not paths:
        raise WeightsError(f"{directory} holds no files", "a model's files", "Name the directory of the model.")
    digests = _digests(directory, paths)
    entries = tuple(FileEntry(path, (directory / path).stat().st_size, digests[path]) for path in paths)
    manifest = Manifest(model, revision, entries)
    content = {"format": FORMAT, "model": model, "revision": revision, "files": [asdict(entry) for entry in entries]}
    partial = directory / f".{MANIFEST_NAME}.{os.getpid()}"
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(directory / MANIFEST_NAME)
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Parses and checks the manifest itself; nothing that it names is opened."""
    path = directory / MANIFEST_NAME
    if not directory.is_dir():
        raise WeightsError(
            f"{directory} is not a directory", "the directory of a staged model", "Stage the model there."
        )
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing",
            "a manifest beside the model's files",
            f"Stage the model again, or, if you trust the files as they are: "
            f"qwen-runtime weights manifest {directory} --model NAME",
        ) from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not JSON ({error})", "an intact manifest", STAGE_AGAIN) from error
    return _parse(path, content)


def verify(directory: Path, *, full: bool) -> Manifest:
    """Raises WeightsError that names every fault.

    Fast: presence, sizes, no other files, safetensors headers and index agree. Full: SHA-256 of every file as well.
    """
    manifest = read_manifest(directory)
    faults = find_faults(directory, manifest, full=full)
    if faults:
        raise WeightsError(
            f"{directory} has {len(faults)} fault(s):\n  " + "\n  ".join(map(str, faults)) + "\n",
            f"the files of {manifest.model} {manifest.revision} as its manifest lists them",
            "Nothing was changed.",
        )
    return manifest


def find_faults(directory: Path, manifest: Manifest, *, full: bool) -> list[Fault]:
    root = directory.resolve()
    faults = [
        Fault(extra, "a file that the manifest does not list", "only listed files", "Remove it, or stage again.")
        for extra in sorted(_files(directory) - {entry.path for entry in manifest.files})
    ]
    intact: list[FileEntry] = []
    for entry in manifest.files:
        fault = _find_size_fault(root, entry)
        if fault:
            faults.append(fault)
        else:
            intact.append(entry)
    faults += _find_tensor_faults(root, {entry.path for entry in intact}, {entry.path for entry in manifest.files})
    if full:
        digests = _digests(root, [entry.path for entry in intact])
        faults += [
            Fault(entry.path, f"SHA-256 {digests[entry.path]}", entry.sha256)
            for entry in intact
            if digests[entry.path] != entry.sha256
        ]
    return faults


def _find_size_fault(root: Path, entry: FileEntry) -> Fault | None:
    path = root / entry.path
    if not path.resolve().is_relative_to(root):
        return Fault(entry.path, f"a link to {path.resolve()}", "a file inside the model's directory")
    if not path.is_file():
        return Fault(entry.path, "nothing" if not path.exists() else "no regular file", f"{entry.size} bytes")
    size_bytes = path.stat().st_size
    if size_bytes != entry.size:
        return Fault(entry.path, f"{size_bytes} bytes", f"{entry.size} bytes")
    return None


def _find_tensor_faults(root: Path, intact: set[str], listed: set[str]) -> list[Fault]:
    """Headers of the intact shards, and the index against them; a shard already reported is not reported again."""
    faults: list[Fault] = []
    tensors: dict[str, set[str]] = {}
    for path in sorted(intact):
        if path.endswith(".safetensors"):
            try:
                tensors[path] = safetensors.read_tensors(root / path)
            except ValueError as error:
                faults.append(Fault(path, str(error), "an intact safetensors file"))
    if safetensors.INDEX_NAME not in intact:
        return faults
    try:
        weight_map = safetensors.read_index(root / safetensors.INDEX_NAME)
    except ValueError as error:
        return [*faults, Fault(safetensors.INDEX_NAME, str(error), "an index of tensors and shards")]
    for shard in sorted(set(weight_map.values())):
        expected = {tensor for tensor, holder in weight_map.items() if holder == shard}
        if shard not in listed:
            faults.append(Fault(safetensors.INDEX_NAME, f"shard {shard!r}", "only files that the manifest lists"))
        elif shard in tensors and (absent := sorted(expected - tensors[shard])):
            faults.append(Fault(shard, f"no tensor {absent[0]!r} ({len(absent)} absent)", "the tensors of the index"))
    return faults


def _parse(path: Path, content: object) -> Manifest:
    def refuse(found: str, needed: str) -> WeightsError:
        return WeightsError(f"{path}: {found}", needed, STAGE_AGAIN)

    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise refuse("not a manifest of a known format", f'an object with "format": {FORMAT}')
    model, revision, files = content.get("model"), content.get("revision"), content.get("files")
    if not (isinstance(model, str) and model and isinstance(revision, str) and isinstance(files, list) and files):
        raise refuse("incomplete", "model, revision and a non-empty list of files")
    entries = [_parse_entry(item, refuse) for item in files]
    names = [entry.path for entry in entries]
    if len(set(names)) != len(names):
        raise refuse("a file is listed twice", "every file once")
    return Manifest(model, revision, tuple(entries))


def _parse_entry(item: object, refuse: Callable[[str, str], WeightsError]) -> FileEntry:
    if not isinstance(item, dict):
        raise refuse(f"entry {item!r}", "an object with path, size and sha256")
    path, size, sha256 = item.get("path"), item.get("size"), item.get("sha256")
    if not isinstance(path, str) or not _is_inside(path):
        raise refuse(f"path {path!r}", "a relative path that stays inside the model's directory")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise refuse(f"{path}: size {size!r}", "a number of bytes")
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise refuse(f"{path}: sha256 {sha256!r}", "64 hexadecimal digits")
    return FileEntry(path, size, sha256)


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return (
        path != MANIFEST_NAME
        and path == str(pure)
        and path != "."
        and not pure.is_absolute()
        and ".." not in pure.parts
        and "\0" not in path
    )


def _files(directory: Path) -> set[str]:
    """Every file below the directory but the manifest, relative, with forward slashes."""

    def walk() -> Iterator[str]:
        for parent, _, names in os.walk(directory):
            for name in names:
                yield Path(parent, name).relative_to(directory).as_posix()

    return set(walk()) - {MANIFEST_NAME}


def _digests(root: Path, paths: list[str]) -> dict[str, str]:
    """One thread per core: hashing and reading release the interpreter lock."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return dict(zip(paths, pool.map(lambda path: sha256_of(root / path), paths), strict=True))


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()
