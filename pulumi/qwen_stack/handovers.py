"""Entries that hand their weight over in a run that changes them too: the gateways hear of it first."""

from __future__ import annotations

from collections.abc import Mapping

from qwen_stack.promotions import Serving, identity
from qwen_stack.settings.stack import Model, Settings
from qwen_stack.specs.manifest import checksum

OUTPUT = "entries"


def digests(settings: Settings) -> dict[str, str]:
    """The output `entries`: a digest of all that makes the pods of each entry what they are."""
    return {model.server: _digest(model, settings) for model in settings.models}


def waiting(settings: Settings, serving: Mapping[str, Serving], entries: Mapping[str, str]) -> set[str]:
    """The servers of the entries that lose their weight and change in this run. The last run's outputs are `serving`
    and `entries`."""
    return {
        model.server
        for model in settings.models
        if model.weight == 0
        and serving.get(model.served_name, {}).get("percent", {}).get(identity(model))
        and entries.get(model.server) != _digest(model, settings)
    }


def _digest(model: Model, settings: Settings) -> str:
    entry = model.model_copy(update={"weight": None, "override": None, "evidence": None})
    return checksum(repr(entry), settings.images.runtime, settings.gpu_runtime_class)[:10]
