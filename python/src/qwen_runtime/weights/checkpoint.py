"""Relations between the files of a model: shards and their index, and the parts that serving needs beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from qwen_runtime import safetensors
from qwen_runtime.errors import Fault
from qwen_runtime.safetensors import INDEX_NAME, SUFFIX, Tensor
from qwen_runtime.weights.files import STAGE_AGAIN

NEEDED = ("configuration", "tokenizer", "chat_template", "generation_config")
CONFIGURATION = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Any one of these sets is a tokenizer; messages name the first file of a set.
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
COMPLETE = "Add the file, as the model's publisher offers it."


def coverage(directory: Path, paths: Iterable[str]) -> tuple[dict[str, str], list[Fault]]:
    """File for each part in NEEDED, and a fault for each part that no file holds."""
    present = set(paths)
    tokenizers = [names[0] for names in TOKENIZERS if present.issuperset(names)]
    templates = [name for name in CHAT_TEMPLATES if name in present]
    if TOKENIZER_CONFIG in present and "chat_template" in _object(directory / TOKENIZER_CONFIG):
        templates.append(TOKENIZER_CONFIG)
    holders = {
        "configuration": [CONFIGURATION] if CONFIGURATION in present else [],
        "tokenizer": tokenizers,
        "chat_template": templates,
        "generation_config": [GENERATION_CONFIG] if GENERATION_CONFIG in present else [],
    }
    lacking = {
        "configuration": Fault(CONFIGURATION, "nothing", "the model's configuration", COMPLETE),
        "tokenizer": Fault("tokenizer.json", "nothing", "a tokenizer", COMPLETE),
        "chat_template": Fault(
            "chat_template.jinja", "nothing", f"a chat template, or one in {TOKENIZER_CONFIG}", COMPLETE
        ),
        "generation_config": Fault(GENERATION_CONFIG, "nothing", "sampling defaults and end-of-text tokens", COMPLETE),
    }
    faults = [lacking[part] for part in NEEDED if not holders[part]]
    faults += [
        Fault(name, "no JSON object", "an intact file", COMPLETE)
        for name in (CONFIGURATION, GENERATION_CONFIG)
        if name in present and not _object(directory / name)
    ]
    return {part: names[0] for part, names in holders.items() if names}, faults


def _object(path: Path) -> Mapping[str, object]:
    """The JSON object in the file; empty when the file holds none."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_headers(directory: Path, paths: Iterable[str]) -> tuple[dict[str, dict[str, Tensor]], list[Fault]]:
    """Tensors of each safetensors file among the paths, and a fault for each wrong header."""
    headers = {path: _read_header(directory, path) for path in sorted(paths) if path.endswith(SUFFIX)}
    tensors = {path: header for path, header in headers.items() if not isinstance(header, Fault)}
    return tensors, [header for header in headers.values() if isinstance(header, Fault)]


def _read_header(directory: Path, path: str) -> dict[str, Tensor] | Fault:
    try:
        return safetensors.read_header(directory / path)
    except (ValueError, OSError) as error:
        return Fault(path, str(error), "an intact safetensors file", STAGE_AGAIN)


def tensor_faults(directory: Path, tensors: Mapping[str, Mapping[str, Tensor]], *, indexed: bool) -> list[Fault]:
    """Compares the shards, given as tensors by file, with each other and with the index if there is one."""
    if not tensors:
        return [Fault(f"*{SUFFIX}", "nothing", "the model's weights", COMPLETE)]
    faults, holders = _holders(tensors)
    if not indexed:
        if len(tensors) > 1:
            faults.append(Fault(INDEX_NAME, "nothing", f"the index of {len(tensors)} shards", COMPLETE))
        return faults
    try:
        weight_map = safetensors.read_index(directory / INDEX_NAME)
    except (ValueError, OSError) as error:
        return [*faults, Fault(INDEX_NAME, str(error), "an index of tensors and shards", STAGE_AGAIN)]
    return faults + _index_faults(weight_map, tensors, holders)


def _holders(tensors: Mapping[str, Mapping[str, Tensor]]) -> tuple[list[Fault], dict[str, str]]:
    """Faults of tensors that are in two files, and the file that holds each tensor."""
    faults: list[Fault] = []
    holders: dict[str, str] = {}
    for shard, names in tensors.items():
        twice = [name for name in names if name in holders]
        if twice:
            found = f"tensor {twice[0]!r}, which {holders[twice[0]]} holds too{_more(twice)}"
            faults.append(Fault(shard, found, "every tensor in one shard", "Remove the shard that does not belong."))
        holders.update({name: shard for name in names if name not in holders})
    return faults, holders


def _index_faults(
    weight_map: Mapping[str, str], tensors: Mapping[str, Mapping[str, Tensor]], holders: Mapping[str, str]
) -> list[Fault]:
    faults = []
    named: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        named.setdefault(shard, []).append(tensor)
    for shard, expected in sorted(named.items()):
        if shard not in tensors:
            faults.append(Fault(INDEX_NAME, f"shard {shard!r}", "only shards that the manifest lists", STAGE_AGAIN))
        elif absent := sorted(set(expected) - tensors[shard].keys()):
            faults.append(
                Fault(shard, f"no tensor {absent[0]!r}{_more(absent)}", "the tensors of the index", STAGE_AGAIN)
            )
    faults += [
        Fault(shard, "a shard that the index does not name", "only shards of the index", "Remove it, or stage again.")
        for shard in sorted(tensors.keys() - named.keys())
    ]
    if unnamed := sorted(name for name in holders.keys() - weight_map.keys() if holders[name] in named):
        found = f"no entry for tensor {unnamed[0]!r} of {holders[unnamed[0]]}{_more(unnamed)}"
        faults.append(Fault(INDEX_NAME, found, "every tensor of the shards", STAGE_AGAIN))
    return faults


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
