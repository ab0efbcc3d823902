"""Asks an engine for each kind of request, one after the other, and says how long the first of each took."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from qwen_runtime.errors import EngineError
from qwen_runtime.warm.engine import Engine
from qwen_runtime.warm.kinds import Kind


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind, asked for the first time and, where that was answered and wished for, once more."""

    kind: str
    first_s: float
    again_s: float | None = None
    refusal: str = ""
    """Words of an engine that has no such thing; empty where it answered."""

    @property
    def saved_s(self) -> float:
        """Time that the first user of this kind no longer waits; 0 where that is not known."""
        return max(0.0, self.first_s - self.again_s) if self.again_s is not None else 0.0

    def __str__(self) -> str:
        if self.refusal:
            return f"{self.kind:28} refused: {self.refusal}"
        again = f", again {self.again_s:.2f} s" if self.again_s is not None else ""
        return f"{self.kind:28} {self.first_s:.2f} s{again}"


def warm(
    engine: Engine, kinds: Sequence[Kind], report: Callable[[Asked], None], *, compare: bool = False
) -> list[Asked]:
    """Asks for all kinds and reports each as it is done. compare: ask each twice.

    What an engine refuses is part of the result. Raises EngineError for the first kind in which it fails.
    """
    draw, asked = random.Random(time.time_ns()), []
    for kind in kinds:
        first_s, refusal = _ask(engine, kind, draw)
        again_s = _ask(engine, kind, draw)[0] if compare and not refusal else None
        asked.append(Asked(kind.name, first_s, again_s, refusal))
        report(asked[-1])
    return asked


def _ask(engine: Engine, kind: Kind, draw: random.Random) -> tuple[float, str]:
    """Seconds until all requests of a kind were answered, and the words of a refusal."""
    with ThreadPoolExecutor(kind.at_once) as users:
        answers = list(users.map(lambda body: engine.ask(kind.path, body), kind.bodies(engine.model, draw)))
    failed = next((answer.fault for answer in answers if answer.fault and not answer.refused), None)
    if failed:
        raise EngineError(
            f"{kind.name}: {failed}", "an answer, or a refusal", "Read the engine's log; it names the cause."
        )
    refusal = next((answer.fault for answer in answers if answer.refused), "")
    return max(answer.seconds for answer in answers), refusal
