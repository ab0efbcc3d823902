"""Reads what a safetensors file says of itself, without loading it.

Format: 8 bytes little-endian header length, a JSON header {tensor: {dtype, shape, data_offsets}}, then the data.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path

INDEX_NAME = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation


def read_tensors(path: Path) -> set[str]:
    """Names of the tensors in the file. ValueError says what is wrong with header or length."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if size_bytes < 8 or header_bytes > min(size_bytes - 8, MAX_HEADER_BYTES):
            raise ValueError(f"a header of {header_bytes} bytes in a file of {size_bytes} bytes")
        try:
            header = json.loads(file.read(header_bytes))
            header.pop("__metadata__", None)
            ends = [tensor["data_offsets"][1] for tensor in header.values()]
            data_bytes = int(max(ends, default=0))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"a header that is not a table of tensors ({error!r})") from error
    if 8 + header_bytes + data_bytes != size_bytes:
        raise ValueError(f"tensors that end at byte {8 + header_bytes + data_bytes} in a file of {size_bytes} bytes")
    return set(header)


def read_index(path: Path) -> dict[str, str]:
    """Tensor name to shard file name. ValueError where the file is not such an index."""
    try:
        weight_map: dict[str, str] = json.loads(path.read_bytes())["weight_map"]
        valid = all(isinstance(shard, str) for shard in weight_map.values()) and bool(weight_map)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no weight_map in it ({error!r})") from error
    if not valid:
        raise ValueError("a weight_map that is empty or names something that is not a file name")
    return weight_map
