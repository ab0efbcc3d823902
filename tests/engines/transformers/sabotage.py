"""The engine's own server, except that a request with the seed 666 kills its worker like an error of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwen_runtime.engine.transformers import __main__ as server
from qwen_runtime.engine.transformers import sampler

choose = sampler.choose


def die(logits: Any, states: Sequence[Any]) -> Any:
    if any(state.logit_processor_kwargs[sampler.KEYWORD].sampling.seed == 666 for state in states):
        raise RuntimeError("sabotaged")
    return choose(logits, states)


sampler.choose = die
server.main()
