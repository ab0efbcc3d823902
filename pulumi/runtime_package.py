"""The runtime package, which stands beside this program and needs the standard library alone: the one way to it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "python/src"))
from qwen_runtime import plan
from qwen_runtime.engine import metrics
from qwen_runtime.engine.registry import ENGINES
from qwen_runtime.engine.spec import EngineSpec, Rank
from qwen_runtime.errors import Fault, PlanError, UsageError
from qwen_runtime.serve import planned

__all__ = ["ENGINES", "EngineSpec", "Fault", "PlanError", "Rank", "UsageError", "metrics", "plan", "planned"]
