"""The form in which a checkpoint stores its weights, by the files and keys in which publishers say it.

Planned are bf16 (also stored as float16 or float32), FP8 in square blocks, INT8 by rows (W8A8) of dense models, and the
MXFP4 of gpt-oss. Anything else is refused by the file and the key that says so, because a plan that took it for bf16
would be wrong by a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import published

KEYS = ("quantization_config", "compression_config")
"""Keys of config.json; the second one is that of older checkpoints of compressed-tensors."""
FILES = {
    "hf_quant_config.json": ("quantization", "quant_algo"),
    "quantize_config.json": ("bits",),
    "quant_config.json": ("w_bit",),
}
"""Files beside config.json that ModelOpt, GPTQ and AWQ write, and the key that names the form in each.

Source: get_config_filenames of vLLM 0.32's quantization methods.
"""
DETAILS = ("quant_algo", "format", "bits", "group_size", "weight_block_size")
INT8_FORMAT = "int-quantized"
WEIGHTS_IN_INT8: Mapping[str, Any] = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
ACTIVATIONS_IN_INT8: Mapping[str, Any] = {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True}
"""Words of compressed-tensors for W8A8, as llm-compressor's scheme of that name writes them (docs/quantization.md)."""
PLANNED = (
    "bf16, quant_method 'fp8' with square blocks (weight_block_size) as in Qwen's own -FP8 checkpoints, or scheme W8A8 "
    "of 'compressed-tensors' in a dense model"
)
REMEDY = "Plan such a checkpoint of the model; sizes of other forms are not known here."


def stated(config: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any]] | None:
    """The key of config.json that says how its weights are quantised, and what it says; None for weights that are not.

    Raises UsageError where it says nothing that can be read.
    """
    for part in (config, published.text_part(config, where)):
        for key in KEYS:
            entry = part.get(key)
            if entry is None or entry == {}:
                continue
            if not isinstance(entry, dict):
                raise published.wrong(where, key, entry, "an object, or null")
            return key, entry
    return None


@dataclass(frozen=True, slots=True)
class Form:
    """How a checkpoint stores its matrices; bf16 where neither says otherwise."""

    fp8_block: int | None = None
    """Edge of the square blocks in FP8."""
    mxfp4: bool = False
    """Whether experts are in MXFP4."""
    int8: bool = False
    """Whether the matrices of all layers are in INT8, with a scale for each row."""


def form(config: Mapping[str, Any], where: str, *, mxfp4: bool = False, dense: bool = False) -> Form:
    """The form of a checkpoint; `mxfp4`: whether the family is one whose experts are known in it; `dense`: whether all
    its layers are attention and an MLP. Raises UsageError for any other form."""
    found = stated(config, where)
    if found is None:
        return Form()
    key, entry = found
    if mxfp4 and key == KEYS[0] and entry.get("quant_method") == "mxfp4":
        return Form(mxfp4=True)
    edge = _edge(entry.get("weight_block_size"))
    if key == KEYS[0] and entry.get("quant_method") == "fp8" and edge:
        return Form(fp8_block=edge)
    if dense and entry.get("quant_method") == "compressed-tensors" and _is_w8a8(entry):
        return Form(int8=True)
    details = [f"{name} {entry[name]!r}" for name in DETAILS if entry.get(name) is not None]
    text = ", ".join([f"quant_method {entry.get('quant_method')!r}", *details])
    raise UsageError(f"{where} has {key} with {text[:300]}", PLANNED, REMEDY)


def _is_w8a8(entry: Mapping[str, Any]) -> bool:
    """Whether all matrices of the layers, and nothing but them, are in INT8 by rows, and activations by tokens."""
    groups, ignored = entry.get("config_groups"), entry.get("ignore")
    if entry.get("format") != INT8_FORMAT or not isinstance(groups, dict) or len(groups) != 1:
        return False
    [group] = groups.values()
    if not isinstance(group, dict) or group.get("targets") != ["Linear"] or not isinstance(ignored, list):
        return False
    kept = {str(name).removeprefix("re:").rpartition("*")[2] for name in ignored}
    return (
        {"lm_head"} <= kept <= {"lm_head", "embed_tokens"}
        and _has(group.get("weights"), WEIGHTS_IN_INT8)
        and _has(group.get("input_activations"), ACTIVATIONS_IN_INT8)
    )


def _has(entry: object, wanted: Mapping[str, Any]) -> bool:
    return isinstance(entry, dict) and all(entry.get(key) == value for key, value in wanted.items())


def _edge(block: object) -> int | None:
    """Edge of square blocks; None for any others."""
    if not isinstance(block, list) or len(block) != 2 or block[0] != block[1] or type(block[0]) is not int:
        return None
    return block[0] if 0 < block[0] <= published.LARGEST else None


def refuse_other_files(directory: Path, config: Mapping[str, Any]) -> None:
    """Raises UsageError where a file beside config.json says a form that config.json does not.

    Engines read such a file only where config.json is silent; so does this.
    """
    if stated(config, str(directory / "config.json")) is not None:
        return
    for name, keys in FILES.items():
        path = directory / name
        if not path.is_file():
            continue
        value: Any = published.read_object(path)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        raise UsageError(f"{path} has {'.'.join(keys)} {value!r}", PLANNED, REMEDY)
