"""Compares the sizes that follow from a config.json with the tensors of its shards.

Headers are the truth. An index only repeats them, and some publishers' total_size is a count, a float or that of an
earlier revision: it is reported, and decides only where no shard is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen_runtime import lfs, safetensors
from qwen_runtime.errors import UsageError
from qwen_runtime.safetensors import INDEX_NAME, Tensor
from qwen_runtime.sizing import published
from qwen_runtime.sizing.families import EQUAL_LAYERS
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.sizing.tensors import BF16_BYTES, FP32_BYTES

SINGLE_NAME = "model.safetensors"
OUTPUT = "lm_head.weight"
BUFFERS = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Ends of names of what older transformers stored beside the weights, although it follows from the configuration."""
WHOLE = ("BF16", "F16", "F32", "F64")
FP8 = ("F8_E4M3",)
MXFP4 = ("U8",)
INT8 = ("I8",)
ENCODERS = ("model.visual.", "visual.")
"""Begins of names of encoders that engines can leave out."""
MOST_LEFT_OUT = {False: 1.1, True: 1.25}
"""Most that tensors that are left out add to a model: one or two layers that look ahead, and an encoder, which is
large beside a small model."""
COUNTERS = ("I64", "BOOL")
"""Types of positions and masks, which are no weights."""
ANOTHER = "One of the two belongs to another model: stage the directory again."


def compare(shape: Shape, directory: Path) -> Shape:
    """The shape, corrected by what the shards hold, with remarks about an index that is wrong. Raises UsageError."""
    index_path = directory / INDEX_NAME
    index = published.read_object(index_path) if index_path.exists() else None
    weight_map = index.get("weight_map") if index else None
    shards = weight_map if isinstance(weight_map, dict) else {}
    tensors = _tensors(directory, shards)
    if OUTPUT in (shards if tensors is None else tensors):
        shape = replace(shape, tied=False)  # a conversion may have untied what the configuration still calls tied
    stated = _total_size(index)
    if tensors is None:
        more = any(is_left_out(name, shape) for name in shards)
        remark = _check_statement(shape, stated, index_path, more=more)
    else:
        loaded = {name: tensor for name, tensor in tensors.items() if not is_left_out(name, shape)}
        _check_tensors(shape, loaded, directory)
        held_bytes = sum(tensor.size_bytes for tensor in tensors.values())
        remark = None
        if stated is not None and stated != held_bytes:
            remark = f"{index_path} states a total_size of {stated!r}; the shards hold {held_bytes} bytes, which count"
    return replace(shape, remarks=(*shape.remarks, remark)) if remark else shape


def is_left_out(name: str, shape: Shape) -> bool:
    """Whether engines leave a tensor out: one that predicts tokens beyond the next one (MTP), which they load for
    speculative decoding alone, or one of an encoder that is left out."""
    layer = re.match(r"model\.(?:language_model\.)?layers\.(\d+)\.", name)
    ahead = name.startswith("mtp.") or bool(layer and int(layer[1]) >= shape.layers)
    return ahead or (shape.text_alone and name.startswith(ENCODERS))


def _tensors(directory: Path, shards: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """Tensors of all shards by name; None where a shard is not there."""
    names = {str(shard) for shard in shards.values()} or {SINGLE_NAME}
    paths = [directory / name for name in sorted(names)]
    if not all(path.parent == directory and path.is_file() for path in paths):
        return None
    return {name: tensor for path in paths for name, tensor in _read(path).items()}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.read_header(path)
    except (ValueError, OSError) as error:
        if pointer := lfs.describe(path):
            raise UsageError(f"{path} is {pointer}", "the file that it points to", lfs.REMEDY) from error
        raise UsageError(f"{path} has {error}", "an intact safetensors file", "Stage it again.") from error


def _total_size(index: Mapping[str, Any] | None) -> object:
    metadata = index.get("metadata") if index else None
    return metadata.get("total_size") if isinstance(metadata, dict) else None


def _check_tensors(shape: Shape, tensors: Mapping[str, Tensor], directory: Path) -> None:
    """Raises UsageError where the bytes of the tensors are not those of the shape, in its form."""
    quantised = (FP8, shape.fp8_block), (MXFP4, shape.mxfp4), (INT8, shape.int8)
    form = (*WHOLE, *COUNTERS, *(name for names, has in quantised if has for name in names))
    odd = next((name for name in sorted(tensors) if tensors[name].dtype not in form), None)
    if odd is not None:
        raise UsageError(
            f"{directory} has tensor {odd!r} of {tensors[odd]}",
            f"{' or '.join(form[:3])}{_also(shape)}, as its config.json says",
            "Plan a checkpoint whose config.json says how its weights are stored.",
        )
    weights_bytes = sum(tensor.size_bytes for name, tensor in tensors.items() if not name.endswith(BUFFERS))
    if not _agrees(shape, weights_bytes):
        raise UsageError(
            f"the shards in {directory} hold {weights_bytes} bytes of weights",
            f"{shape.size_bytes} bytes, which follow from the config.json beside them",
            ANOTHER,
        )


def _also(shape: Shape) -> str:
    return " or FP8" if shape.fp8_block else " or I8" if shape.int8 else ""


def _check_statement(shape: Shape, stated: object, path: Path, *, more: bool = False) -> str | None:
    """A remark about a total_size that is odd; UsageError where it is that of another model. `more`: whether it counts
    tensors that are left out, whose sizes only their shards know."""
    most = MOST_LEFT_OUT[shape.text_alone] * shape.size_bytes
    if more and isinstance(stated, int) and shape.size_bytes <= stated <= most:
        return None
    if stated is None or (type(stated) is int and _agrees(shape, stated)):
        return None
    if stated == shape.parameters:
        return f"{path} states a total_size of {stated}, which is the number of parameters, not of bytes"
    if isinstance(stated, float) and _agrees(shape, stated):
        return f"{path} states a total_size of {stated!r}, which is no whole number"
    if isinstance(stated, bool) or not isinstance(stated, (int, float)) or not stated > 0:
        return f"{path} states a total_size of {str(stated)[:40]!r}, which says nothing"
    raise UsageError(
        f"{path} states {stated} bytes of weights",
        f"{shape.size_bytes} bytes, which follow from the config.json beside it",
        f"{ANOTHER} If only the index is stale, put the shards beside it: their headers count.",
    )


def _agrees(shape: Shape, found_bytes: float) -> bool:
    # A checkpoint may store scales in half the bytes that they take when loaded, and float32 takes twice bf16's.
    least = shape.size_bytes - sum(shape.scale_bytes_of(tensor) for tensor in shape.tensors())
    return least <= found_bytes <= shape.size_bytes + _wide_bytes(shape) or found_bytes == 2 * shape.size_bytes


def _wide_bytes(shape: Shape) -> int:
    """Bytes that are added where norms, biases and routers are stored in float32, as some publishers of mixtures do."""
    if shape.family in EQUAL_LAYERS:
        return 0
    small = (t for t in shape.tensors() if t.number_bytes == BF16_BYTES and (t.columns == 1 or t.part == "router"))
    return sum(tensor.parameters * (FP32_BYTES - BF16_BYTES) for tensor in small)
