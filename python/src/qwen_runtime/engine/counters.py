"""The reader of the counters by which progress is judged."""

from __future__ import annotations

import re

from qwen_runtime.engine.series import RUNNING, STEP_TOKENS, WAITING, Exported
from qwen_runtime.engine.spec import Progress


def read(metrics: str, exported: Exported) -> Progress:
    """The engine's progress, from the text of its /metrics and the names that it uses there."""
    requests = _values(metrics, exported.names[RUNNING], exported.names[WAITING])
    # Counts every step's tokens, so that it moves through a long prompt too, before the first token of an answer.
    tokens = _values(metrics, f"{exported.names[STEP_TOKENS]}_sum")
    return Progress(int(sum(requests)) if requests else None, sum(tokens) if tokens else None)


def _values(metrics: str, *names: str) -> list[float]:
    name = "|".join(map(re.escape, names))
    return [float(value) for value in re.findall(rf"^(?:{name})(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)]
