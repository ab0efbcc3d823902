"""Short names of the models that Python packages carry (qwen_runtime.demo), so that a person types less."""

from __future__ import annotations

SHORT_NAMES = {
    "smollm2": "smollm2-135m-instruct",
    "qwen2.5-coder-1.5b": "qwen2.5-coder-1.5b-instruct",
}


def full_name(name: str) -> str:
    """The name that a short name stands for; any other name as it is."""
    return SHORT_NAMES.get(name, name)
