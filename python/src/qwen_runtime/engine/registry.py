"""The engines that `serve` runs, by the name that plans and commands call them."""

from __future__ import annotations

from collections.abc import Mapping

from qwen_runtime.engine import transformers, vllm
from qwen_runtime.engine.spec import Engine

ENGINES: Mapping[str, Engine] = {"vllm": vllm, "transformers": transformers}
