"""Compares the sizes that follow from a config.json with the tensors of its shards.

Headers are the truth. An index only repeats them, and some publishers' total_size is a count, a float or that of an
earlier revision: it is reported, and decides only where no shard is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen_runtime import lfs, safetensors
from qwen_runtime.errors import UsageError
from qwen_runtime.safetensors import INDEX_NAME, Tensor
from qwen_runtime.sizing import published
from qwen_runtime.sizing.shape import Shape

SINGLE_NAME = "model.safetensors"
OUTPUT = "lm_head.weight"
BUFFERS = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Ends of names of what older transformers stored beside the weights, although it follows from the configuration."""
WHOLE = ("BF16", "F16", "F32", "F64")
FP8 = ("F8_E4M3",)
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
        remark = _check_statement(shape, stated, index_path)
    else:
        held_bytes = _check_tensors(shape, tensors, directory)
        remark = None
        if stated is not None and stated != held_bytes:
            remark = f"{index_path} states a total_size of {stated!r}; the shards hold {held_bytes} bytes, which count"
    return replace(shape, remarks=(*shape.remarks, remark)) if remark else shape


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


def _check_tensors(shape: Shape, tensors: Mapping[str, Tensor], directory: Path) -> int:
    """Bytes of the tensors, which must be those of the shape, in its form."""
    form = (*WHOLE, *COUNTERS, *(FP8 if shape.fp8_block else ()))
    odd = next((name for name in sorted(tensors) if tensors[name].dtype not in form), None)
    if odd is not None:
        raise UsageError(
            f"{directory} has tensor {odd!r} of {tensors[odd]}",
            f"{' or '.join(form[:3])}{' or FP8' if shape.fp8_block else ''}, as its config.json says",
            "Plan a checkpoint whose config.json says how its weights are stored.",
        )
    total_bytes = sum(tensor.size_bytes for tensor in tensors.values())
    weights_bytes = sum(tensor.size_bytes for name, tensor in tensors.items() if not name.endswith(BUFFERS))
    if not _agrees(shape, weights_bytes):
        raise UsageError(
            f"the shards in {directory} hold {weights_bytes} bytes of weights",
            f"{shape.size_bytes} bytes, which follow from the config.json beside them",
            ANOTHER,
        )
    return total_bytes


def _check_statement(shape: Shape, stated: object, path: Path) -> str | None:
    """A remark about a total_size that is odd; UsageError where it is that of another model."""
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
    least = shape.size_bytes - sum(tensor.scale_bytes(shape.fp8_block) for tensor in shape.tensors())
    return least <= found_bytes <= shape.size_bytes or found_bytes == 2 * shape.size_bytes
