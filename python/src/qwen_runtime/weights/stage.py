"""Stages a model directory from its sources: whole, verified and under its name, or not there at all."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from qwen_runtime.errors import Fault, HostError, UsageError, WeightsError
from qwen_runtime.weights import digest, staging_area
from qwen_runtime.weights.files import MANIFEST_NAME, listing, shape_fault
from qwen_runtime.weights.http_source import HttpSource
from qwen_runtime.weights.manifest import FileEntry, Manifest, parse
from qwen_runtime.weights.progress import Progress, gigabytes, on_stderr
from qwen_runtime.weights.sources import DirectorySource, Source, SourceFault
from qwen_runtime.weights.transfer import GO_ON, Patience, Supplier, Transfer
from qwen_runtime.weights.verification import find_faults

FILE_MODE, FOLDER_MODE = 0o644, 0o755  # readable by the user that serves
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Staged:
    """Outcome of a run. `fetched_bytes` by source; everything else was on this host already."""

    changed: bool
    model: str
    revision: str
    files: int
    size_bytes: int
    fetched_bytes: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of the person who stages.

    model, manifest_sha256: any other is refused.
    parallel: files at a time.
    margin_bytes: stay free on the disk beside the model.
    report: progress on stderr.
    """

    model: str | None
    parallel: int
    margin_bytes: int
    patience: Patience
    report: bool = False
    manifest_sha256: str | None = None


def source_of(text: str, stall_s: float) -> Source:
    """The source behind a directory's path or a URL. Raises UsageError for a URL of another kind."""
    return HttpSource(text, stall_s) if "://" in text else DirectorySource(Path(text))


def stage(target: Path, sources: Sequence[Source], neighbours: Sequence[Source], options: Options) -> Staged:
    """Puts the model at target. The first of `sources` that answers gives the manifest, and is trusted for it.

    `neighbours` are asked for bytes before the sources are, and for nothing else.

    Raises WeightsError for what sources have, HostError for this host's disk, UsageError for a target that is no model.
    """
    with ExitStack() as stack:
        for source in (*sources, *neighbours):
            stack.callback(source.close)
        return _Staging(target, sources, neighbours, options).run()


def dry_run(target: Path, sources: Sequence[Source], options: Options) -> Staged:
    """The outcome that `stage` would have. Changes nothing; raises the same errors if they need no fetching."""
    with ExitStack() as stack:
        for source in sources:
            stack.callback(source.close)
        return _Staging(target, sources, (), options).dry_run()


class _Staging:
    """One run: its sources' manifest, and how far the target is from it."""

    def __init__(self, target: Path, sources: Sequence[Source], neighbours: Sequence[Source], options: Options) -> None:
        self._target, self._options, self._started = target, options, time.monotonic()
        self._content, self._manifest, authority = _authority(sources, options)
        self._suppliers = [Supplier(source, neighbour=True) for source in neighbours]
        self._suppliers += [Supplier(source, proven=source is authority) for source in sources]
        self._area = staging_area.of(target, hashlib.sha256(self._content).hexdigest())
        _refuse_what_is_no_model(target)

    def dry_run(self) -> Staged:
        if self._is_staged():
            return self._result(changed=False)
        self._check_space()
        return self._result(changed=True)

    def run(self) -> Staged:
        try:
            if self._is_staged():
                staging_area.remove_leftovers(self._target)
                return self._result(changed=False)
            with staging_area.locked(self._area):
                self._check_space()
                self._fill()
                self._complete()
        except OSError as error:
            raise self._host_error(error) from error
        return self._result(changed=True)

    def _is_staged(self) -> bool:
        here = self._target / MANIFEST_NAME
        if shape_fault(self._target, MANIFEST_NAME, len(self._content)) or here.read_bytes() != self._content:
            return False
        return not find_faults(self._target, self._manifest, full=False, progress=Progress("", 0))

    def _check_space(self) -> None:
        missing = [entry for entry in self._manifest.files if not self._candidates(entry)]
        begun_bytes = sum(path.stat().st_size for path in self._area.parts.glob("*"))
        needed_bytes = sum(entry.size for entry in missing) - begun_bytes + self._options.margin_bytes
        free_bytes = _free_bytes(self._target)
        if missing and free_bytes < needed_bytes:
            raise HostError(
                f"{gigabytes(free_bytes)} free at {self._target.parent}",
                f"{gigabytes(needed_bytes)} for {self._manifest.model}, margin included",
                "Free the space, or stage to a larger disk.",
            )

    def _candidates(self, entry: FileEntry) -> list[Path]:
        """Files on this host that may be the entry: an earlier run's, and the one of the directory to be replaced."""
        roots = (self._area.files, self._target)
        return [root / entry.path for root in roots if not shape_fault(root, entry.path, entry.size)]

    def _fill(self) -> None:
        for parent in sorted({(self._area.files / entry.path).parent for entry in self._manifest.files}):
            parent.mkdir(parents=True, exist_ok=True)
        progress = on_stderr("stage", self._manifest.size_bytes) if self._options.report else Progress("", 0)
        transfer = Transfer(self._content, self._suppliers, self._area.parts, self._options.patience, progress)
        for supplier in self._suppliers:
            progress.when_cancelled(supplier.source.close)
        largest_first = sorted(self._manifest.files, key=lambda entry: -entry.size)
        with progress:
            outcomes = digest.in_parallel(
                lambda entry: self._obtain(entry, transfer, progress),
                largest_first,
                self._options.parallel,
                progress,
            )
        faults = [fault for entry in self._manifest.files if (fault := outcomes[entry])]
        if faults:
            raise WeightsError(
                f"{self._manifest.model} has {listing(faults)}", "every file as its manifest says", f"Then {GO_ON}"
            )

    def _obtain(self, entry: FileEntry, transfer: Transfer, progress: Progress) -> Fault | None:
        destination = self._area.files / entry.path
        for path in self._candidates(entry):
            if _sum(path, progress) == entry.sha256:
                if path != destination:
                    _link(path, destination)
                return None
            progress.advance(-entry.size)
        return transfer.fetch(entry, destination)

    def _complete(self) -> None:
        with (self._area.files / MANIFEST_NAME).open("wb") as file:
            file.write(self._content)
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
        for folder, _, _ in os.walk(self._area.files):
            os.chmod(folder, FOLDER_MODE)
        if faults := find_faults(self._area.files, self._manifest, full=False, progress=Progress("", 0)):
            raise WeightsError(
                f"{self._manifest.model} has {listing(faults)}",
                "a model that can be served",
                "Repair it at the source.",
            )
        self._area.put_in_place()

    def _result(self, *, changed: bool) -> Staged:
        fetched = {supplier.label: supplier.given_bytes for supplier in self._suppliers if supplier.given_bytes}
        return Staged(
            changed=changed,
            model=self._manifest.model,
            revision=self._manifest.revision,
            files=len(self._manifest.files),
            size_bytes=self._manifest.size_bytes,
            fetched_bytes=fetched,
            seconds=round(time.monotonic() - self._started, 3),
        )

    def _host_error(self, error: OSError) -> HostError:
        free_bytes = _free_bytes(self._target)
        if error.errno in FULL:
            return HostError(
                f"{error.strerror} while staging to {self._target.parent} ({gigabytes(free_bytes)} free)",
                f"{gigabytes(self._manifest.size_bytes)} for {self._manifest.model}",
                "Free the space or raise the limit, and run again: what was fetched is kept.",
            )
        return HostError(
            f"{error.filename or self._target}: {error.strerror}",
            "a directory on a local disk that this user may write to",
            "Correct it and run again: what was fetched is kept.",
        )


def _authority(sources: Sequence[Source], options: Options) -> tuple[bytes, Manifest, Source]:
    """The manifest of the first source that has one."""
    refusals = []
    for source in sources:
        try:
            content = source.manifest()
        except SourceFault as fault:
            refusals.append(f"{source.label}/{MANIFEST_NAME}: {fault.found}")
            continue
        # Checked before it is parsed: a manifest that the site did not pin must decide nothing.
        _refuse_another_manifest(source, content, options.manifest_sha256)
        manifest = parse(content, f"{source.label}/{MANIFEST_NAME}")
        if options.model not in (None, manifest.model):
            raise WeightsError(
                f"{source.label} has {manifest.model}",
                f"the model {options.model}",
                "Correct the source or the model's name.",
            )
        return content, manifest, source
    raise WeightsError("; ".join(refusals), "a source with the model's manifest", "Fill the mirror, or correct --from.")


def _refuse_another_manifest(source: Source, content: bytes, pinned: str | None) -> None:
    """Refuses a manifest other than the pinned one. The next source is not tried: a person has to look at this one."""
    sha256 = hashlib.sha256(content).hexdigest()
    if pinned not in (None, sha256):
        raise WeightsError(
            f"{source.label}/{MANIFEST_NAME} with SHA-256 {sha256}",
            f"SHA-256 {pinned}, which is pinned for this model",
            "Find out who changed the source. If the model was meant to change, pin the digest of its new manifest.",
        )


def _refuse_what_is_no_model(target: Path) -> None:
    """The target is replaced, so it has to be a model, or nothing."""
    empty = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if target.is_symlink() or not (empty or (target / MANIFEST_NAME).is_file()):
        raise UsageError(
            f"{target} is there and no model directory",
            "a directory with a manifest.json, or none",
            "Name another one.",
        )


def _sum(path: Path, progress: Progress) -> str | None:
    try:
        return digest.sha256_of(path, progress)
    except OSError:  # it is fetched again
        return None


def _link(path: Path, destination: Path) -> None:
    """Links the same bytes, which takes no more space; owner and mode are those of a fetched file."""
    os.link(path, destination)
    os.chown(destination, os.geteuid(), os.getegid())
    os.chmod(destination, FILE_MODE)


def _free_bytes(target: Path) -> int:
    existing = next(parent for parent in target.absolute().parents if parent.exists())
    status = os.statvfs(existing)
    return status.f_bavail * status.f_frsize
