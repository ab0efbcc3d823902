"""The result: one JSON object with units, versions and hardware."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import math
import os
import platform
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime import __version__

if TYPE_CHECKING:
    from qwen_runtime.engine.score.texts import Item, Span
    from qwen_runtime.engine.score.tokens import Scored

UNITS = {
    "log_likelihood": "natural logarithm of a probability, summed over tokens",
    "perplexity": "exp(-log_likelihood / tokens)",
    "bits_per_byte": "-log_likelihood / ln 2 / bytes of the scored text in UTF-8",
    "top1": "share of tokens that are the most likely one in their place",
    "*_bytes": "bytes",
    "*_s": "seconds",
}
PACKAGES = ("torch", "transformers", "deepspeed", "torchao", "bitsandbytes")


def summary(items: Sequence[Item], spans: Sequence[Span], scored: Mapping[int, Scored]) -> dict[str, Any]:
    """The figures over all items, and in "results" those of each item."""
    results = []
    log_likelihoods: list[list[float]] = [[] for _ in items]
    hits: list[list[bool]] = [[] for _ in items]
    for index, span in enumerate(spans):
        log_likelihoods[span.item] += scored[index].log_probs
        hits[span.item] += [best == token for best, token in zip(scored[index].best, span.scored, strict=True)]
    for item, of_item, hits_of_item in zip(items, log_likelihoods, hits, strict=True):
        result = {"id": item.id, **_figures(of_item, hits_of_item)}
        if item.prompt is None:
            result["bits_per_byte"] = -math.fsum(of_item) / math.log(2) / len(item.scored.encode())
        else:
            result["is_greedy"] = all(hits_of_item)
        results.append(result)
    every = _figures(list(itertools.chain(*log_likelihoods)), list(itertools.chain(*hits)))
    return {**every, "results": results}


def _figures(log_probs: Sequence[float], hits: Sequence[bool]) -> dict[str, Any]:
    log_likelihood = math.fsum(log_probs)
    return {
        "tokens": len(log_probs),
        "log_likelihood": log_likelihood,
        "perplexity": math.exp(-log_likelihood / len(log_probs)),
        "top1": sum(hits) / len(hits),
    }


def agreement(one: Mapping[int, Scored], other: Mapping[int, Scored]) -> float:
    """Share of places where both have the same most likely token."""
    same = [a == b for index in one for a, b in zip(one[index].best, other[index].best, strict=True)]
    return sum(same) / len(same)


def speed(figures: dict[str, Any], started: float) -> dict[str, float]:
    """Time since `started`, and tokens scored a second."""
    seconds = time.perf_counter() - started
    return {"score_s": round(seconds, 3), "tokens_per_s": round(figures["tokens"] / seconds, 1)}


def peak_rss_bytes() -> int:
    """The most memory that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict[str, str]:
    installed = {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    return {"qwen_runtime": __version__, "python": platform.python_version(), **installed}


def hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpus = len(os.sched_getaffinity(0))
    return {"gpus": gpus, "cpu": _cpu(), "cpus": cpus, "threads": torch.get_num_threads(), "memory_bytes": memory_bytes}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
