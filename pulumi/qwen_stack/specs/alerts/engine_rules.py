"""`serving:*` recording rules of the engines, from the names that the runtime package has for their metrics."""

from __future__ import annotations

from qwen_runtime.engine import metrics

from qwen_stack.specs.manifest import Manifest


def recording_rules() -> list[Manifest]:
    return [{"record": rule.record, "expr": rule.expression, "labels": rule.labels} for rule in metrics.rules()]
