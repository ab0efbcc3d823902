"""manifest.json: the list of a model directory's files, written at their good source and checked at every copy.

    {"format": 2, "model", "revision",
     "covers": {"configuration": PATH, "tokenizer": PATH, "chat_template": PATH, "generation_config": PATH},
     "files": [{"path", "size", "sha256", "tensors": {NAME: {"dtype", "shape"}}}, ...]}

It lists every file of the directory except itself, sorted by path, one a line; only safetensors files have tensors.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qwen_runtime import safetensors
from qwen_runtime.errors import WeightsError
from qwen_runtime.safetensors import INDEX_NAME, Tensor
from qwen_runtime.weights import checkpoint, digest
from qwen_runtime.weights.files import MANIFEST_NAME, STAGE_AGAIN, files_in, is_inside, listing, shape_fault
from qwen_runtime.weights.progress import Progress, on_stderr

FORMAT = 2
PARTIAL_NAME = f".{MANIFEST_NAME}.partial"
MAX_BYTES = 32 << 20  # the 480B model in FP8, with 60,000 tensors, takes 8 MB
Refuse = Callable[[str, str], WeightsError]


@dataclass(frozen=True, slots=True)
class FileEntry:
    path: str
    size: int
    """Size in bytes."""
    sha256: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict, hash=False)
    """Tensors by name; empty for files of other formats than safetensors."""


@dataclass(frozen=True, slots=True)
class Manifest:
    model: str
    revision: str
    covers: Mapping[str, str] = field(hash=False)
    """File for each part that serving needs beside the weights: see checkpoint.NEEDED."""
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        return sum(entry.size for entry in self.files)

    @property
    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Tensors of each safetensors file."""
        return {entry.path: entry.tensors for entry in self.files if entry.path.endswith(safetensors.SUFFIX)}


def write_manifest(directory: Path, model: str, revision: str, *, report: bool = False) -> Manifest:
    """Digests every file and writes the manifest, whole or not at all. `report`: progress on stderr.

    Raises WeightsError with every reason why the model cannot be served; then nothing is written.
    """
    manifest = _describe(directory, model, revision, report)
    partial = directory / PARTIAL_NAME
    try:
        with partial.open("wb") as file:
            file.write(encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(directory / MANIFEST_NAME)
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _describe(directory: Path, model: str, revision: str, report: bool) -> Manifest:
    if not directory.is_dir():
        raise WeightsError(f"{directory} is not a directory", "a model's files", "Name the directory of the model.")
    paths = sorted(files_in(directory) - {PARTIAL_NAME})  # an interrupted run may have left it
    faults = [fault for path in paths if (fault := shape_fault(directory, path))]
    if not faults:
        covers, faults = checkpoint.coverage(directory, paths)
        tensors, unreadable = checkpoint.read_headers(directory, paths)
        faults += unreadable or checkpoint.tensor_faults(directory, tensors, indexed=INDEX_NAME in paths)
    if faults:
        raise WeightsError(f"{directory} has {listing(faults)}", "a model that can be served", "Nothing was written.")
    sizes = {path: (directory / path).stat().st_size for path in paths}
    size_bytes = sum(sizes.values())
    with on_stderr("manifest", size_bytes) if report else Progress("", size_bytes) as progress:
        sums = digest.sums(directory, sizes, progress)
    entries = [FileEntry(path, sizes[path], _readable(path, sums[path]), tensors.get(path, {})) for path in paths]
    return Manifest(model, revision, covers, tuple(entries))


def _readable(path: str, sha256: str | OSError) -> str:
    if isinstance(sha256, OSError):
        raise WeightsError(f"{path} cannot be read ({sha256.strerror})", "a readable file", "Look at the disk (dmesg).")
    return sha256


def encode(manifest: Manifest) -> bytes:
    head = {"format": FORMAT, "model": manifest.model, "revision": manifest.revision, "covers": dict(manifest.covers)}
    lines = [json.dumps(_plain(entry)) for entry in manifest.files]
    return (json.dumps(head)[:-1] + ', "files": [\n' + ",\n".join(lines) + "\n]}\n").encode()


def _plain(entry: FileEntry) -> dict[str, object]:
    plain: dict[str, object] = {"path": entry.path, "size": entry.size, "sha256": entry.sha256}
    if entry.tensors:
        plain["tensors"] = {name: asdict(tensor) for name, tensor in entry.tensors.items()}
    return plain


def read_manifest(directory: Path) -> Manifest:
    """Parses and checks the manifest alone; the files that it names are not opened."""
    path = directory / MANIFEST_NAME
    if not directory.is_dir():
        raise WeightsError(
            f"{directory} is not a directory", "the directory of a staged model", "Stage the model there."
        )
    if fault := shape_fault(directory, MANIFEST_NAME):
        raise WeightsError(
            f"{path} is missing" if fault.found == "nothing" else f"{path} is {fault.found}",
            "a manifest beside the model's files",
            f"Stage the model again, or, if you trust the files as they are: "
            f"qwen-runtime weights manifest {directory} --model NAME",
        )
    with path.open("rb") as file:
        return parse(file.read(MAX_BYTES + 1), str(path))


def parse(content: bytes, where: str) -> Manifest:
    """The manifest in the content; messages name it by `where`."""

    def refuse(found: str, needed: str) -> WeightsError:
        return WeightsError(f"{where}: {found}", needed, STAGE_AGAIN)

    if len(content) > MAX_BYTES:
        raise refuse("a file that is too large", f"a manifest of at most {MAX_BYTES} bytes")
    try:
        document = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise refuse(f"not JSON ({error})", "an intact manifest") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise refuse("not a manifest", f'an object with "format": {FORMAT}')
    if document["format"] != FORMAT:
        raise WeightsError(
            f"{where}: a manifest of format {document['format']}",
            f"format {FORMAT}, which also covers tensors, tokenizer, chat template and generation config",
            "Where the files come from: qwen-runtime weights manifest DIR --model NAME. Then stage them again.",
        )
    return _parse_document(document, refuse)


def _parse_document(document: dict[str, object], refuse: Refuse) -> Manifest:
    model, revision, covers = document.get("model"), document.get("revision"), document.get("covers")
    items = document.get("files")
    if not (isinstance(model, str) and model and isinstance(revision, str) and isinstance(items, list) and items):
        raise refuse("incomplete", "model, revision and a non-empty list of files")
    files = tuple(_parse_entry(item, refuse) for item in items)
    paths = {entry.path for entry in files}
    if len(paths) != len(files):
        raise refuse("a file is listed twice", "every file once")
    if nested := sorted(paths & {str(parent) for path in paths for parent in Path(path).parents}):
        raise refuse(f"{nested[0]} is listed as a file and as a directory", "one of them")
    if not isinstance(covers, dict) or set(covers) != set(checkpoint.NEEDED):
        raise refuse("a manifest that does not say what it covers", f"covers: {', '.join(checkpoint.NEEDED)}")
    if unlisted := [path for path in covers.values() if not isinstance(path, str) or path not in paths]:
        raise refuse(f"covers {unlisted[0]!r}", "only files that the manifest lists")
    return Manifest(model, revision, covers, files)


def _parse_entry(item: object, refuse: Refuse) -> FileEntry:
    if not isinstance(item, dict):
        raise refuse(f"entry {reprlib.repr(item)}", "an object with path, size and sha256")
    path, size, sha256 = item.get("path"), item.get("size"), item.get("sha256")
    if not isinstance(path, str) or not is_inside(path):
        raise refuse(f"path {reprlib.repr(path)}", "a relative path that stays inside the model's directory")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise refuse(f"{path}: size {reprlib.repr(size)}", "a number of bytes")
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise refuse(f"{path}: sha256 {reprlib.repr(sha256)}", "64 hexadecimal digits")
    tensors = item.get("tensors", {})
    try:
        return FileEntry(path, size, sha256, {name: safetensors.parse_tensor(tensors[name]) for name in tensors})
    except safetensors.JSON_ERRORS as error:
        raise refuse(f"{path}: tensors that are none ({error})", "dtype and shape of each tensor") from error
