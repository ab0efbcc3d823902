"""`qwen-runtime models`: the models that are known by name."""

from __future__ import annotations

import json
from dataclasses import asdict

from qwen_runtime import catalog
from qwen_runtime.cli.common import Commands, Options, add


def add_to(commands: Commands) -> None:
    models = add(commands, "models", run, "list the models that are known by name")
    models.add_argument("--json", action="store_true", help="packages, files and revision too")


def run(options: Options) -> None:
    if options.json:
        print(json.dumps([asdict(model) for model in catalog.MODELS], indent=1))
        return
    for model in catalog.MODELS:
        print(f"{model.name}  {model.context_tokens} tokens  also: {', '.join(model.aliases)}")
