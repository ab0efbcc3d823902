"""Model directories of a few bytes."""

from __future__ import annotations

import json
from pathlib import Path


def write_safetensors(path: Path, tensors: dict[str, bytes]) -> None:
    """A well-formed file of one-dimensional uint8 tensors."""
    header, offset = {}, 0
    for name, data in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(tensors.values()))


def write_model(directory: Path) -> None:
    """Two shards, their index and a configuration; no manifest."""
    directory.mkdir()
    shards = {"model-00001-of-00002.safetensors": "embed", "model-00002-of-00002.safetensors": "head"}
    for shard, tensor in shards.items():
        write_safetensors(directory / shard, {tensor: tensor.encode() * 100})
    index = {"metadata": {}, "weight_map": {tensor: shard for shard, tensor in shards.items()}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
