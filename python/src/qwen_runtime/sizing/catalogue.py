"""Models known by name, and reading one from a directory."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.names import full_name
from qwen_runtime.sizing import families, published, shards, stored
from qwen_runtime.sizing.configs import from_config
from qwen_runtime.sizing.models import CONFIGS, FP8_BLOCK, WITH_FP8
from qwen_runtime.sizing.shape import Shape

FP8_SUFFIX, INT8_SUFFIX = "-FP8", "-W8A8"


def config(name: str) -> dict[str, Any]:
    """The numbers of the config.json of a catalogue name, with the architecture that engines find the family by."""
    published_config = CONFIGS[name]
    return {"architectures": [families.PLANNED[published_config["model_type"]].architecture], **published_config}


@cache
def known() -> dict[str, Shape]:
    """Every catalogue entry by its name; models that are published in FP8 too have an entry for each."""
    shapes: dict[str, Shape] = {}
    for name, config in CONFIGS.items():
        shape = from_config(name, config, f"the catalogue's {name}")
        shapes[name] = shape
        if name in WITH_FP8:
            shapes[name + FP8_SUFFIX] = replace(shape, name=name + FP8_SUFFIX, fp8_block=FP8_BLOCK)
    return shapes


def find(name: str) -> Shape | None:
    """A catalogue entry whatever the case of the name, with or without `Qwen/` before it, or by its short name."""
    plain = full_name(name.lower()).rpartition("/")[2]
    return next((shape for key, shape in known().items() if key.lower() == plain), None)


def get(name: str) -> Shape:
    """The model of a catalogue name, or of the directory at that path. Raises UsageError."""
    shape = find(name)
    if shape is not None:
        return shape
    if Path(name).is_dir():
        return read(Path(name))
    raise unknown(
        "model", name, list(known()), "or the path of a directory with a config.json", "`qwen-runtime models`"
    )


def unknown(kind: str, name: str, names: list[str], otherwise: str, flag: str) -> UsageError:
    lower = {known_name.lower(): known_name for known_name in names}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)]
    nearest = f"the closest names are {', '.join(close)}" if close else f"the names are {', '.join(names)}"
    return UsageError(
        f"{kind} {name!r} is not known", f"a name of the catalogue {otherwise}", f"See {flag}; {nearest}."
    )


def twin(shape: Shape, quantization: str) -> Shape | None:
    """The checkpoint of the same model in another form: a published one, or one in INT8 that a site makes from bf16."""
    base = shape.name.removesuffix(FP8_SUFFIX).removesuffix(INT8_SUFFIX)
    if quantization == "int8":
        plain = shape if shape.quantization == "bf16" else known().get(base)
        able = plain is not None and not (plain.traits.mixture or plain.traits.linear)
        return replace(plain, name=base + INT8_SUFFIX, int8=True) if plain and able else None
    other = known().get(base + FP8_SUFFIX if quantization == "fp8" else base)
    return other if other and other.quantization == quantization else None


def read(directory: Path) -> Shape:
    """The model of a directory: its config.json, held against its shards and their index. Raises UsageError."""
    config_path = directory / "config.json"
    config = published.read_object(config_path)
    stored.refuse_other_files(directory, config)
    shape = from_config(directory.resolve().name, config, str(config_path))
    return shards.compare(replace(shape, chat_template=published.chat_template(directory)), directory)
