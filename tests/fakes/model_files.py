"""Model directories of a few bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_safetensors(path: Path, tensors: dict[str, bytes]) -> None:
    """A well-formed file of one-dimensional uint8 tensors."""
    header, offset = {}, 0
    for name, data in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(tensors.values()))


def write_weights(path: Path, parameters: int, dtype: str = "BF16", name: str = "weight") -> None:
    """A file of one tensor with that many parameters, all zero; it takes hardly any space."""
    size_bytes = parameters * {"BF16": 2, "F32": 4, "I32": 4, "I8": 1}[dtype]
    header = json.dumps({name: {"dtype": dtype, "shape": [parameters], "data_offsets": [0, size_bytes]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size_bytes)


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
TENSORS = ("embed", "head")


def write_model(directory: Path, tensor_bytes: int = 500) -> None:
    """Writes two shards with one tensor each, their index and all that serving needs beside them; no manifest."""
    directory.mkdir(parents=True)
    for shard, tensor in zip(SHARDS, TENSORS, strict=True):
        write_safetensors(directory / shard, {tensor: (tensor.encode() * tensor_bytes)[:tensor_bytes]})
    write_index(directory, dict(zip(TENSORS, SHARDS, strict=True)))
    texts: dict[str, object] = {
        "config.json": {"max_position_embeddings": 2048},
        "generation_config.json": {"eos_token_id": 0},
        "tokenizer.json": {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}}},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
    }
    for name, content in texts.items():
        (directory / name).write_text(json.dumps(content))


def write_index(directory: Path, weight_map: dict[str, str]) -> None:
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def dense_config(model_type: str, context_tokens: int) -> dict[str, Any]:
    """The config.json of a dense model so small that its sizes can be counted by hand."""
    return {
        "model_type": model_type,
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 100,
        "max_position_embeddings": context_tokens,
    }


W8A8: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head", "re:.*embed_tokens"],
    "config_groups": {
        "W8A8": {
            "format": "int-quantized",
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False},
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
}
"""quantization_config of scheme W8A8, as llm-compressor 0.14 writes it, without what is null or empty."""
