"""`serving:key_*` recording rules: what each key uses and is refused, from the limiter's bill."""

from __future__ import annotations

from qwen_runtime.limits import bill

from qwen_stack.specs.manifest import Manifest


def recording_rules() -> list[Manifest]:
    series = {
        "key_tokens:total": _with_model_name(bill.TOKENS),
        "key_requests:total": _with_model_name(bill.REQUESTS),
        "key_refused:total": bill.REFUSED,
        "key_in_flight:requests": bill.IN_FLIGHT,
        "key_waiting:requests": bill.WAITING,
    }
    return [{"record": f"serving:{name}", "expr": expression} for name, expression in series.items()]


def _with_model_name(metric: str) -> str:
    """Series with the label that engines give to a model."""
    return f'sum without (model) (label_replace({metric}, "model_name", "$1", "model", "(.*)"))'
