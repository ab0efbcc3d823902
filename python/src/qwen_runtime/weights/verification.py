"""Compares a model directory with its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qwen_runtime.errors import Fault, WeightsError
from qwen_runtime.safetensors import INDEX_NAME, Tensor
from qwen_runtime.weights import checkpoint, digest
from qwen_runtime.weights.files import STAGE_AGAIN, files_in, listing, shape_fault
from qwen_runtime.weights.manifest import FileEntry, Manifest, read_manifest
from qwen_runtime.weights.progress import Progress, on_stderr

MEND = "Stage the model again. If its source has the same fault, repair it there and write its manifest again."
CHECK_DISK = "Look at the disk (dmesg), then stage the model again."


def verify(directory: Path, *, full: bool, report: bool = False) -> Manifest:
    """Returns the manifest. Raises WeightsError with every fault.

    Fast: presence, sizes, no other files and no links; configuration, tokenizer and chat template by their content;
    safetensors headers against the manifest and the index.
    full: SHA-256 of every file as well. `report`: progress on stderr.
    """
    manifest = read_manifest(directory)
    with on_stderr("verify", manifest.size_bytes) if full and report else Progress("", 0) as progress:
        faults = find_faults(directory, manifest, full=full, progress=progress)
    if faults:
        raise WeightsError(
            f"{directory} has {listing(faults)}",
            f"the files of {manifest.model} {manifest.revision} as its manifest lists them",
            "Nothing was changed.",
        )
    return manifest


def find_faults(directory: Path, manifest: Manifest, *, full: bool, progress: Progress) -> list[Fault]:
    listed = {entry.path for entry in manifest.files}
    faults = [
        Fault(extra, "a file that the manifest does not list", "only listed files", "Remove it, or stage again.")
        for extra in sorted(files_in(directory) - listed)
    ]
    intact: list[FileEntry] = []
    for entry in manifest.files:
        fault = shape_fault(directory, entry.path, entry.size)
        if fault:
            faults.append(fault)
        else:
            intact.append(entry)
    faults += checkpoint.content_faults(directory, [entry.path for entry in intact], MEND)
    faults += _header_faults(directory, manifest, listed - {entry.path for entry in intact})
    if full:
        faults += _digest_faults(directory, intact, progress)
    return faults


def _header_faults(directory: Path, manifest: Manifest, broken: set[str]) -> list[Fault]:
    """Compares headers and index with the tensors of the manifest. Files with a fault get no second one."""
    tensors, faults = checkpoint.read_headers(directory, manifest.tensors.keys() - broken)
    for path, header in tensors.items():
        faults += _tensor_differences(path, header, manifest.tensors[path])
    reported = broken | {fault.subject for fault in faults}
    indexed = any(entry.path == INDEX_NAME for entry in manifest.files) and INDEX_NAME not in broken
    between_files = checkpoint.tensor_faults(directory, manifest.tensors, indexed=indexed)
    return faults + [fault for fault in between_files if fault.subject not in reported]


def _tensor_differences(path: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[Fault]:
    """One fault for the first tensor that differs from the manifest."""
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            tensor, needed = found.get(name, "absent"), expected.get(name, "none of that name")
            return [Fault(path, f"tensor {name!r}: {tensor}", str(needed), STAGE_AGAIN)]
    return []


def _digest_faults(directory: Path, entries: list[FileEntry], progress: Progress) -> list[Fault]:
    sums = digest.sums(directory, {entry.path: entry.size for entry in entries}, progress)
    faults = []
    for entry in entries:
        sha256 = sums[entry.path]
        if isinstance(sha256, OSError):
            faults.append(Fault(entry.path, f"a read error ({sha256.strerror})", "a readable file", CHECK_DISK))
        elif sha256 != entry.sha256:
            faults.append(Fault(entry.path, f"SHA-256 {sha256}", entry.sha256, STAGE_AGAIN))
    return faults
