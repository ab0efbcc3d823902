"""Reads the header of a safetensors file, without loading the file.

Format: 8 bytes little-endian header length, a JSON header {tensor: {dtype, shape, data_offsets}}, then the data, which
the tensors fill without holes. Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

INDEX_NAME = "model.safetensors.index.json"
SUFFIX = ".safetensors"
METADATA = "__metadata__"
MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation
MAX_INDEX_BYTES = 100_000_000
MAX_DIMENSIONS = 64  # the limit of torch
# Bits of one element: Dtype::bitsize of the reference implementation.
DTYPE_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
JSON_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Form of one tensor: dtype in safetensors' spelling (BF16, F8_E4M3, ...), shape in elements."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * DTYPE_BITS[self.dtype] // 8

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def read_header(path: Path) -> dict[str, Tensor]:
    """Tensors of the file by name. Raises ValueError with what is wrong, or OSError when it cannot be read."""
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        header_bytes = int.from_bytes(file.read(8), "little")
        if size_bytes < 8 or header_bytes > min(size_bytes - 8, MAX_HEADER_BYTES):
            raise ValueError(f"a header of {header_bytes} bytes in a file of {size_bytes} bytes")
        return parse_header(file.read(header_bytes), size_bytes - 8 - header_bytes)


def parse_header(header: bytes, data_bytes: int) -> dict[str, Tensor]:
    """Tensors that a header describes; they must fill data_bytes exactly. Raises ValueError with what is wrong."""
    try:
        table = json.loads(header.decode(), object_pairs_hook=_without_duplicates)
        if not isinstance(table, dict):
            raise TypeError(f"a {type(table).__name__} in place of an object")
        _check_metadata(table.pop(METADATA, None))
        tensors = {name: parse_tensor(entry) for name, entry in table.items()}
        spans = {name: _span(entry) for name, entry in table.items()}
    except JSON_ERRORS as error:
        raise ValueError(f"a header that is not a table of tensors ({_reason(error)})") from error
    position = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != position:
            raise ValueError(f"tensor {name!r} that begins at byte {begin} of the data and not at {position}")
        _check_size(name, tensors[name], end - begin)
        position = end
    if position != data_bytes:
        raise ValueError(f"tensors of {position} bytes in a file with {data_bytes} bytes of data")
    return tensors


def _check_metadata(metadata: object) -> None:
    """Raises TypeError unless it maps names to text or is absent; null, which some writers leave, counts as absent."""
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise TypeError(f"{METADATA} is a {type(metadata).__name__} in place of an object")
    if wrong := [name for name, value in metadata.items() if not isinstance(value, str)]:
        raise TypeError(f"{METADATA} has {reprlib.repr(wrong[0])}, metadata that is not text")


def read_index(path: Path) -> dict[str, str]:
    """Shard file of each tensor. Raises ValueError when the file is no such index."""
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ValueError(f"more than {MAX_INDEX_BYTES} bytes")
    return parse_index(path.read_bytes())


def parse_index(content: bytes) -> dict[str, str]:
    try:
        weight_map = json.loads(content.decode(), object_pairs_hook=_without_duplicates)["weight_map"]
        if not isinstance(weight_map, dict):
            raise TypeError(f"weight_map is a {type(weight_map).__name__} in place of an object")
        valid = all(isinstance(shard, str) for shard in weight_map.values()) and bool(weight_map)
    except JSON_ERRORS as error:
        raise ValueError(f"no weight_map in it ({_reason(error)})") from error
    if not valid:
        raise ValueError("a weight_map that is empty or names something that is not a file name")
    return dict(weight_map)


def parse_tensor(entry: Mapping[str, object]) -> Tensor:
    """Tensor of {dtype, shape}. Raises ValueError, KeyError or TypeError when the entry is none."""
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ValueError(f"dtype {reprlib.repr(dtype)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise ValueError(f"shape {reprlib.repr(shape)}")
    return Tensor(dtype, tuple(shape))


def _span(entry: Mapping[str, object]) -> tuple[int, int]:
    offsets = entry["data_offsets"]
    if not (
        isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_size, offsets)) and offsets[0] <= offsets[1]
    ):
        raise ValueError(f"data_offsets {reprlib.repr(offsets)}")
    return offsets[0], offsets[1]


def _check_size(name: str, tensor: Tensor, found_bytes: int) -> None:
    bits = math.prod(tensor.shape) * DTYPE_BITS[tensor.dtype]
    if bits != found_bytes * 8:
        raise ValueError(f"tensor {name!r} of {tensor} in {found_bytes} bytes")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name that occurs twice")
    return table


def _reason(error: Exception) -> str:
    """Type and text of the error; the repr() of a UnicodeDecodeError would hold the whole file."""
    return f"{type(error).__name__}: {error}"
