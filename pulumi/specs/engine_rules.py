"""`serving:*` recording rules of the engines, from the runtime package's own mapping of their metrics' names."""

from __future__ import annotations

import sys
from pathlib import Path

from specs.manifest import Manifest

# The package stands beside this program and needs the standard library alone.
sys.path.append(str(Path(__file__).resolve().parents[2] / "python/src"))
from qwen_runtime.engine import metrics


def recording_rules() -> list[Manifest]:
    return [{"record": rule.record, "expr": rule.expression, "labels": rule.labels} for rule in metrics.rules()]
