"""A config.json as publishers write it: the file as an object, where its sizes stand, and how long its context is."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from qwen_runtime import lfs
from qwen_runtime.errors import UsageError

LARGEST = 2**31 - 1
"""Largest number of any size: what engines index by 32 bits."""
CONTEXT = "max_position_embeddings"
ORIGINAL_CONTEXT = "original_max_position_embeddings"
ROPE_KEYS = ("rope_scaling", "rope_parameters")
"""Keys of the rotary embedding's parameters, up to transformers 4 and from 5 on; the first one that says something."""
STRETCHES_ORIGINAL = ("yarn", "deepseek_yarn")
STRETCHES_STATED = ("linear", "dynamic")
STRETCHED_ALREADY = "gemma3"
"""Part of the model_type of models that state the stretched context, although their scaling is linear."""
TEXT = "text_config"
ENCODERS = ("vision_config", "audio_config", "speech_config", "vision_tower", "mm_vision_tower")
OWN_FILE = "Take the model's own file."


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a model's file. Raises UsageError."""
    try:
        pointer = lfs.describe(path)
        value = None if pointer else json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path} is missing", "the model's own file", "Stage the model's directory again.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error})", "the model's own file", "Stage it again.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "the model's own file", OWN_FILE) from error
    if pointer:
        raise UsageError(f"{path} is {pointer}", "the file that it points to", lfs.REMEDY)
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no JSON object", "the model's own file", "Stage it again.")
    return value


def chat_template(directory: Path) -> str:
    """The chat template of a model's directory, empty where there is none that can be read: verification names faults.

    Of several in tokenizer_config.json the one for tools counts.
    """
    try:
        path = directory / "chat_template.jinja"
        if path.is_file():
            return path.read_text()
        holders = (directory / name for name in ("chat_template.json", "tokenizer_config.json"))
        holder = next((path for path in holders if path.is_file()), None)
        value = json.loads(holder.read_bytes()).get("chat_template") if holder else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    if isinstance(value, list):
        named = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
        value = named.get("tool_use") or named.get("default")
    return value if isinstance(value, str) else ""


def text_part(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The part of a config.json that has the sizes of the language model: all of it, or its text_config.

    Keys that only the whole has, such as tie_word_embeddings, count for the part too. Raises UsageError.
    """
    text = config.get(TEXT)
    if text is None:
        return config
    if not isinstance(text, dict):
        raise wrong(where, TEXT, text, "an object with the sizes of the language model")
    return {**{key: value for key, value in config.items() if key != TEXT}, **text}


def encoder(config: Mapping[str, Any]) -> str | None:
    """Key of an encoder of images or sound that the model has beside its language model."""
    return next((key for key in ENCODERS if config.get(key)), None)


def longest_context(config: Mapping[str, Any], where: str) -> int:
    """The longest context in tokens: factor x original where the rotary embedding is stretched. Raises UsageError.

    YaRN stretches the context of the training, which max_position_embeddings may or may not have been raised from;
    linear and dynamic scaling stretch max_position_embeddings. All others leave it as it is.
    Source: vLLM 0.32, config/model.py, and transformers 5.19, modeling_rope_utils.py.
    """
    return _context(config, where, (*STRETCHES_ORIGINAL, *STRETCHES_STATED))


def context_without_yarn(config: Mapping[str, Any], where: str) -> int:
    """The longest context in tokens that vLLM 0.32 takes by itself: it leaves the factor of YaRN out.

    A configuration that states the stretched context has nothing to add. Raises UsageError.
    """
    return max(_context(config, where, STRETCHES_STATED), number(text_part(config, where), CONTEXT, where))


def _context(config: Mapping[str, Any], where: str, kinds: Collection[str]) -> int:
    part = text_part(config, where)
    stated = number(part, CONTEXT, where)
    if STRETCHED_ALREADY in str(part.get("model_type")):
        return stated
    return min((_stretched(part, rope, stated, where, kinds) for rope in _ropes(part, where)), default=stated)


def _ropes(config: Mapping[str, Any], where: str) -> Iterator[Mapping[str, Any]]:
    """Parameters of the rotary embedding: one set, or one for each type of layer."""
    key = next((key for key in ROPE_KEYS if config.get(key)), None)
    if key is None:
        return
    rope = config[key]
    if not isinstance(rope, dict):
        raise wrong(where, key, rope, "an object, or null")
    nested = [value for value in rope.values() if isinstance(value, dict)]
    yield from nested or [rope]


def _stretched(
    config: Mapping[str, Any], rope: Mapping[str, Any], stated: int, where: str, kinds: Collection[str]
) -> int:
    kind = rope.get("rope_type", rope.get("type"))
    if kind not in kinds or rope.get("factor") is None:
        return stated
    factor = rope["factor"]
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor <= LARGEST:
        raise wrong(where, f"{kind} factor", factor, "a number from 1 on")
    original = stated
    if kind in STRETCHES_ORIGINAL:
        holder = config if config.get(ORIGINAL_CONTEXT) is not None else rope
        original = number(holder, ORIGINAL_CONTEXT, where, stated)
    return min(math.floor(factor * original), LARGEST)


def number(config: Mapping[str, Any], key: str, where: str, default: int | None = None, most: int = LARGEST) -> int:
    """The size of that name. Raises UsageError unless it is a whole number from 1 to `most`."""
    value = config.get(key)
    if value is None and default is not None:
        value = default
    if value is None:
        raise UsageError(f"{where} has no {key}", "a whole number above 0", OWN_FILE)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(where, key, value, "a whole number above 0")
    if value > most:
        raise UsageError(f"{where} has a {key} of {len(str(value))} digits", f"at most {most}", OWN_FILE)
    return value


def wrong(where: str, key: str, value: object, needed: str) -> UsageError:
    text = repr(value)
    return UsageError(f"{where} has {key} {text if len(text) < 200 else text[:200] + '...'}", needed, OWN_FILE)
