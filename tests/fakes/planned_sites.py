"""Plans of many sites: every engine that serves, on several GPUs, for several models and loads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from qwen_runtime.engine.registry import servers
from qwen_runtime.plan import Plan, make, plan

ENGINES = tuple(servers())
NVIDIA_GPUS = ("a100-80gb", "h100-80gb", "h200-141gb", "b200-180gb", "l40s-48gb")
OTHER_GPUS = ("mi300x-192gb", "cpu")
_CODER = "Qwen3-Coder-480B-A35B-Instruct"
_MODELS = (f"{_CODER}-FP8", _CODER, "Qwen3-Coder-30B-A3B-Instruct-FP8", "Qwen2.5-Coder-7B-Instruct")
_HOSTS = (1, 2, 4)
_REQUESTS_IN_FLIGHT = (1, 16, 512)


def fitting(engine: str, gpu: str) -> Iterator[Plan]:
    """Every plan that fits."""
    for model, nodes, in_flight in product(_MODELS, _HOSTS, _REQUESTS_IN_FLIGHT):
        candidate = plan(
            make(
                model=model,
                gpu=gpu,
                gpus_per_node=8,
                nodes=nodes,
                concurrency=in_flight,
                engine=engine,
                context_tokens=32768,
            )
        )
        if candidate.fits:
            yield candidate
