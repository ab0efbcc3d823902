"""Converts GGUF to what engines load: bfloat16 shards, tokenizer, chat template, generation config, manifest.

The result appears under its final name whole or not at all: it is built in a directory beside the target, then renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qwen_runtime import weights
from qwen_runtime.demo import downloads
from qwen_runtime.errors import HostError, UsageError, WeightsError
from qwen_runtime.weights import digest

GGUF_MAGIC = b"GGUF"
MAX_SHARD_SIZE = "200MB"


def parts_of(model_name: str, source: Path) -> tuple[Path, ...]:
    """The GGUF parts of a download, below the directory where its packages were installed."""
    return tuple(source / part for part in downloads.get(model_name).gguf_parts)


def convert(parts: Sequence[Path], target: Path, model_name: str | None = None) -> weights.Manifest:
    """Joins the parts, converts them and puts the result at target, which must not exist yet."""
    known = downloads.find(model_name or target.name)
    _check(parts, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile's own cleanup: after the rename there is nothing left to remove.
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        gguf = _join(parts, work)
        revision = known.revision if known else f"gguf-{digest.sha256_of(gguf)[:16]}"
        result = work / "result"
        _write_checkpoint(gguf, result)
        for path in result.rglob("*"):
            path.chmod(0o644)  # safetensors makes its files readable by their owner only; a server runs as another user
        manifest = weights.write_manifest(result, known.name if known else model_name or target.name, revision)
        weights.verify(result, full=False)
        result.rename(target)
        return manifest
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check(parts: Sequence[Path], target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} exists", "a directory to create", "Remove it, or name another --out.")
    for part in parts:
        if not part.is_file():
            raise UsageError(f"{part} is not a file", "the GGUF file or all of its parts", "Correct the path.")
    with parts[0].open("rb") as file:
        magic = file.read(len(GGUF_MAGIC))
    if magic != GGUF_MAGIC:
        raise WeightsError(
            f"{parts[0]} starts with {magic!r}",
            f"a GGUF file, which starts with {GGUF_MAGIC!r}",
            "Give the parts in their order, or fetch the file again.",
        )


def _join(parts: Sequence[Path], work: Path) -> Path:
    if len(parts) == 1:
        return parts[0].resolve()
    joined = work / "joined.gguf"
    with joined.open("wb") as out:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, out)
    return joined


def _write_checkpoint(gguf: Path, out: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        import transformers
    except ImportError as error:
        raise HostError(
            f"cannot import {error.name}",
            "torch, transformers, accelerate and gguf to convert weights",
            "Install qwen-runtime[demo], or the environment of locks/runtime-cpu.txt, or convert elsewhere.",
        ) from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # Without dequantize the model keeps GGUF blocks, which save_pretrained refuses to write.
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            quantization_config=transformers.GgufConfig(dequantize=True),
        )
    except (ValueError, OSError, RuntimeError, KeyError, IndexError) as error:
        raise WeightsError(
            f"{gguf} cannot be read as a model ({error})",
            "an intact GGUF file of an architecture that transformers knows",
            "Fetch the file again; for a model in parts give all of them in order.",
        ) from error
    model.save_pretrained(out, max_shard_size=MAX_SHARD_SIZE)
    tokenizer.save_pretrained(out)
