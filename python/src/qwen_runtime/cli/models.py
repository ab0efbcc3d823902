"""`qwen-runtime models`: the models that are known by name, their sizes, and which of them packages carry."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qwen_runtime.cli.common import Commands, Options, add
from qwen_runtime.units import GIGA

if TYPE_CHECKING:
    from qwen_runtime.demo.downloads import Download
    from qwen_runtime.sizing.shape import Shape


def add_to(commands: Commands) -> None:
    models = add(
        commands, "models", run, "list the models that are known by name; any other is planned by its directory"
    )
    models.add_argument("--json", action="store_true", help="shapes and packages too")


def run(options: Options) -> None:
    from qwen_runtime.demo import downloads
    from qwen_runtime.sizing import catalogue

    models = [(shape, downloads.find(shape.name.lower())) for shape in catalogue.known().values()]
    if options.json:
        print(json.dumps([_entry(shape, download) for shape, download in models], indent=1))
        return
    for shape, download in models:
        size = f"{shape.parameters / GIGA:8.2f} B parameters {shape.size_bytes / GIGA:8.1f} GB {shape.quantization:4}"
        fetch = f"  packages carry it: {', '.join(download.short_names)}" if download else ""
        print(f"{shape.name:38}{size} {shape.context_tokens:8} tokens of context{fetch}")


def _entry(shape: Shape, download: Download | None) -> dict[str, Any]:
    """Everything about one model; `download` is null unless packages carry it."""
    packages = {**asdict(download), "short_names": download.short_names} if download else None
    return {
        **asdict(shape),
        "parameters": shape.parameters,
        "weights_bytes": shape.size_bytes,
        "download": packages,
    }
