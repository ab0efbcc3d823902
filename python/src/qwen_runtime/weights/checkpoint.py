"""Relations between the files of a model: shards and their index, and the parts that serving needs beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from qwen_runtime import safetensors
from qwen_runtime.errors import Fault
from qwen_runtime.safetensors import INDEX_NAME, SUFFIX, Tensor
from qwen_runtime.weights import contents
from qwen_runtime.weights.contents import CONFIGURATION, GENERATION_CONFIG, TOKENIZER_CONFIG
from qwen_runtime.weights.files import STAGE_AGAIN

NEEDED = ("configuration", "tokenizer", "chat_template", "generation_config")
# Any one of these sets is a tokenizer; messages name the first file of a set.
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
CHAT_TEMPLATES = ("chat_template.jinja", contents.TEMPLATE_JSON)
SHARD_NAME = re.compile(r"(?:pytorch_)?model(?:-\d+-of-\d+)?\.safetensors|.*-\d+-of-\d+\.safetensors")
SECOND_COPY = re.compile(r"consolidated.*\.safetensors")
COMPLETE = "Add the file, as the model's publisher offers it."


def coverage(directory: Path, paths: Iterable[str]) -> tuple[dict[str, str], list[Fault]]:
    """File for each part in NEEDED, and a fault for each part without a file and for each file with wrong content."""
    present = set(paths)
    tokenizers = [names[0] for names in TOKENIZERS if present.issuperset(names)]
    templates = [name for name in CHAT_TEMPLATES if name in present]
    if TOKENIZER_CONFIG in present and contents.has_template(directory / TOKENIZER_CONFIG):
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
    faults += content_faults(directory, present)
    return {part: names[0] for part, names in holders.items() if names}, faults


def content_faults(directory: Path, paths: Iterable[str], remedy: str = COMPLETE) -> list[Fault]:
    """A fault for each file whose content does not fit its name. Files in subfolders are not checked."""
    results = {path: contents.fault_in(directory / path) for path in sorted(paths) if "/" not in path}
    return [Fault(path, fault, "an intact file", remedy) for path, fault in results.items() if fault]


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
    faults += [fault for shard in _unnamed(weight_map, tensors) if (fault := _misplaced(shard))]
    if unlisted := sorted(name for name in holders.keys() - weight_map.keys() if holders[name] in named):
        found = f"no entry for tensor {unlisted[0]!r} of {holders[unlisted[0]]}{_more(unlisted)}"
        faults.append(Fault(INDEX_NAME, found, "every tensor of the shards", STAGE_AGAIN))
    return faults


def unnamed_files(directory: Path, paths: Iterable[str]) -> list[str]:
    """Safetensors files beside a sound index that does not name them."""
    index = directory / INDEX_NAME
    return _unnamed(safetensors.read_index(index), paths) if index.exists() else []


def _unnamed(weight_map: Mapping[str, str], paths: Iterable[str]) -> list[str]:
    return sorted(set(paths) - set(weight_map.values()))


def _misplaced(path: str) -> Fault | None:
    """A fault if the name shows that the file does not belong beside the index.

    Any other file is the publisher's own addition, such as the mtp.safetensors of a draft model.
    """
    if SECOND_COPY.fullmatch(path):
        found = "the weights once more, in a form that the index does not name"
        return Fault(
            path, found, "every tensor once", "Remove it: every host would copy it and no engine here reads it."
        )
    if SHARD_NAME.fullmatch(path):
        remedy = "Take the index that belongs to it, or remove the shard if it is left from another revision."
        return Fault(path, "a shard that the index does not name", "shards of one model, with their index", remedy)
    return None


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
