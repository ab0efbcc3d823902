"""Packages that only some commands need, and what to install where one is absent."""

from __future__ import annotations

import importlib.util

from qwen_runtime.errors import HostError

EVALUATION = "evaluation"


def require(extra: str, *modules: str) -> None:
    """Raise HostError when a module of the extra is not installed."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        raise HostError(
            f"without {', '.join(absent)}",
            f"the packages of qwen-runtime[{extra}]",
            f"Install them: pip install 'qwen-runtime[{extra}]'; the tested versions are in locks/{extra}.txt.",
        )
