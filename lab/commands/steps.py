"""Steps of a run, shown and timed, and the table at its end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from lab.machine import fitness
from lab.paths import SUMMARY

SAMPLE_S = 2


@dataclass(slots=True)
class Step:
    name: str
    seconds: float
    result: str


@dataclass(slots=True)
class Run:
    """One `make up`: runs steps in order, prints each as it ends and keeps the table."""

    total: int
    steps: list[Step] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    free_gb: float = field(default_factory=fitness.free_gb)  # before the first step
    least_free_gb: float = field(default_factory=fitness.free_gb)

    def watch_disk(self) -> None:
        """Note the least free disk of the whole run, from a thread of its own."""

        def sample() -> None:
            while True:
                self.least_free_gb = min(self.least_free_gb, fitness.free_gb())
                time.sleep(SAMPLE_S)

        threading.Thread(target=sample, daemon=True).start()

    def step(self, name: str, do: Callable[[], str | None]) -> None:
        """Run a step; it returns what it changed, or None when it found everything as it should be."""
        print(f"[{len(self.steps) + 1}/{self.total}] {name}", flush=True)
        begun = time.monotonic()
        result = do() or "unchanged"
        self.steps.append(Step(name, round(time.monotonic() - begun, 1), result))
        print(f"      {result}  ({self.steps[-1].seconds:.1f} s)", flush=True)

    def summarise(self, **facts: object) -> None:
        """Print the table and write it as JSON: seconds per step, and facts of the run."""
        total = round(time.monotonic() - self.started, 1)
        print(f"\n{'step':<34}{'seconds':>8}  result")
        for step in self.steps:
            print(f"{step.name:<34}{step.seconds:>8.1f}  {step.result[:70]}")
        peak = round(self.free_gb - self.least_free_gb, 1)
        print(f"{'total':<34}{total:>8.1f}  at most {peak:.1f} GB of disk more than before the run")
        report = {"total_s": total, "peak_disk_gb": peak, **facts, "steps": [asdict(s) for s in self.steps]}
        SUMMARY.write_text(json.dumps(report, indent=2) + "\n")
