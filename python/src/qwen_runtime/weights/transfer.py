"""Fetches one file: asks the sources in their order until one brings it whole and right."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qwen_runtime.errors import Fault, WeightsError
from qwen_runtime.weights.manifest import FileEntry
from qwen_runtime.weights.part import BLOCK_BYTES, Part
from qwen_runtime.weights.progress import Progress
from qwen_runtime.weights.sources import NotYet, Source, SourceFault, Unreachable

ATTEMPTS = 3
REST_S = 120.0
REPAIR = "Repair it at the source."
GO_ON = "run again: what was fetched well is kept, a model in use is untouched."


@dataclass(frozen=True, slots=True)
class Patience:
    """Longest waits, in seconds.

    stall_s: for an answer, or for a block of it.
    neighbour_s: for a neighbour that has nothing yet or is busy.
    pause_s: between attempts.
    """

    stall_s: float
    neighbour_s: float
    pause_s: float = 1.0


class Supplier:
    """A source and this run's record of it. A neighbour is waited for; any other source fails at once."""

    def __init__(self, source: Source, *, neighbour: bool = False, proven: bool = False) -> None:
        self.source, self.neighbour = source, neighbour
        self.given_bytes = 0
        self._proven = proven
        self._resting_until = self._last_useful = time.monotonic()
        self._lock = threading.Lock()

    @property
    def label(self) -> str:
        return self.source.label

    @property
    def rests(self) -> bool:
        return time.monotonic() < self._resting_until

    def prove(self, manifest: bytes) -> None:
        """Compares manifests once a run. Raises NotYet when the source holds another revision."""
        with self._lock:
            if not self._proven:
                if self.source.manifest() != manifest:
                    raise NotYet("a manifest of another revision", "the manifest of the first source")
                self._proven = True

    def gave(self, count_bytes: int) -> None:
        with self._lock:
            self.given_bytes += count_bytes
            if count_bytes:
                self._last_useful = time.monotonic()

    def failed(self) -> None:
        """Puts the source behind the others for REST_S."""
        self._resting_until = time.monotonic() + REST_S

    def is_worth_waiting_for(self, patience: Patience) -> bool:
        return self.neighbour and time.monotonic() - self._last_useful < patience.neighbour_s


class Transfer:
    """Fetches files into `parts` until they are whole. Safe to use from many threads."""

    def __init__(
        self, manifest: bytes, suppliers: Sequence[Supplier], parts: Path, patience: Patience, progress: Progress
    ) -> None:
        self._manifest, self._suppliers, self._parts = manifest, suppliers, parts
        self._patience, self._progress = patience, progress

    def fetch(self, entry: FileEntry, destination: Path) -> Fault | None:
        """Puts the file at the destination, or returns the fault of every source.

        Raises WeightsError when no source answers at all, because other files would fail too. Raises OSError when this
        host fails.
        """
        part = Part(self._parts / hashlib.sha256(entry.path.encode()).hexdigest(), entry.size, self._progress)
        try:
            attempts = _Attempts(self._suppliers)
            while not self._is_right(part, entry, attempts):
                self._progress.advance(0)  # raises Cancelled
                supplier = attempts.next()
                if supplier is None:
                    return attempts.verdict(entry)
                self._try(supplier, entry, part, attempts)
            part.keep_as(destination)
            return None
        finally:
            part.close()

    def _is_right(self, part: Part, entry: FileEntry, attempts: _Attempts) -> bool:
        if part.size_bytes < entry.size:
            return False
        if part.sha256 == entry.sha256:
            return True
        attempts.blame(part, SourceFault(f"SHA-256 {part.sha256}", entry.sha256))
        part.restart()
        return False

    def _try(self, supplier: Supplier, entry: FileEntry, part: Part, attempts: _Attempts) -> None:
        if supplier.rests:  # all others rest too
            self._progress.sleep(self._patience.pause_s * attempts.strikes[supplier])
        before = part.size_bytes
        try:
            supplier.prove(self._manifest)
            body = supplier.source.open(entry, part.size_bytes)
            try:
                part.take(body, supplier.label, self._patience.stall_s)
            finally:
                body.close()
                supplier.gave(part.size_bytes - body.begins_at)
        except NotYet as fault:
            if supplier.is_worth_waiting_for(self._patience):
                self._progress.sleep(self._patience.pause_s)
            else:
                attempts.strike(supplier, fault)
        except Unreachable as fault:
            attempts.strike(supplier, fault, 0 if part.size_bytes - before >= BLOCK_BYTES else 1)
        except SourceFault as fault:
            attempts.strike(supplier, fault, ATTEMPTS)


@dataclass(slots=True)
class _Attempts:
    """Attempts for one file. A source that failed ATTEMPTS times, or gave wrong bytes, is not asked again."""

    suppliers: Sequence[Supplier]
    strikes: Counter[Supplier] = field(default_factory=Counter)
    faults: dict[str, SourceFault] = field(default_factory=dict)

    def next(self) -> Supplier | None:
        """The next source: the first in order, but those that failed recently come last."""
        usable = [supplier for supplier in self.suppliers if self.strikes[supplier] < ATTEMPTS]
        return min(usable, key=lambda supplier: supplier.rests, default=None)

    def strike(self, supplier: Supplier, fault: SourceFault, count: int = 1) -> None:
        """Records a fault. `count` is 0 for a source that broke off after some progress: it may continue from there."""
        self.faults[supplier.label] = fault
        self.strikes[supplier] += count
        supplier.failed()

    def blame(self, part: Part, fault: SourceFault) -> None:
        """Strikes the givers of wrong bytes. A single giver is certainly at fault; of several, any may be."""
        for supplier in self.suppliers:
            if supplier.label in part.givers:
                self.strike(supplier, fault, ATTEMPTS if len(part.givers) == 1 else 1)

    def verdict(self, entry: FileEntry) -> Fault:
        found = "; ".join(f"{fault.found} at {label}" for label, fault in self.faults.items())
        if all(isinstance(fault, Unreachable | NotYet) for fault in self.faults.values()):
            raise WeightsError(f"{entry.path}: {found}", "a source that has it", f"Make a source reachable and {GO_ON}")
        return Fault(entry.path, found, f"{entry.size} bytes with SHA-256 {entry.sha256}", REPAIR)
