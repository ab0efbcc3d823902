"""Engine deepspeed: a PipelineModule whose ranks each build their own layers only, from the shards of the checkpoint.

There is no KV cache in it: docs/adr/0045-deepspeed-scores-and-does-not-stream.md. Shapes: r rows, w tokens, h hidden
size, e experts, i intermediate size of one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed
from torch import nn

from qwen_runtime import weights
from qwen_runtime.engine import loading
from qwen_runtime.engine.score import document, tokens
from qwen_runtime.engine.score.tokens import Scored
from qwen_runtime.errors import WeightsError
from qwen_runtime.weights import STAGE_AGAIN, Manifest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qwen_runtime.engine.score.batches import Batch
    from qwen_runtime.engine.score.job import Job
    from qwen_runtime.engine.score.texts import Item, Span


class Shards:
    """The tensors of a checkpoint by name, each read when it is asked for; files are mapped, not read whole."""

    def __init__(self, directory: Path, manifest: Manifest, dtype: torch.dtype) -> None:
        self._directory, self._dtype = directory, dtype
        self._files = {name: file for file, tensors in manifest.tensors.items() for name in tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def get(self, name: str) -> torch.Tensor:
        from safetensors import safe_open

        if name not in self._files:
            raise WeightsError(f"no tensor {name!r}", "every tensor of the architecture", STAGE_AGAIN)
        with safe_open(self._directory / self._files[name], framework="pt") as file:
            return file.get_tensor(name).to(self._dtype)

    def fill(self, module: nn.Module, prefix: str) -> None:
        """Gives the module, made without memory of its own, the tensors whose names begin with the prefix."""
        names = module.state_dict().keys()
        module.load_state_dict({name: self._find(prefix, name) for name in names}, assign=True)

    def _find(self, prefix: str, name: str) -> torch.Tensor:
        """A tensor. Files hold experts one by one; transformers computes with one tensor of them all."""
        base, _, last = name.rpartition(".")
        if last not in ("gate_up_proj", "down_proj") or not base.endswith("experts"):
            return self.get(prefix + name)
        parts = ("gate_proj", "up_proj") if last == "gate_up_proj" else ("down_proj",)
        experts: list[torch.Tensor] = []
        while f"{prefix}{base}.{len(experts)}.{parts[0]}.weight" in self._files:
            expert = f"{prefix}{base}.{len(experts)}."
            experts.append(torch.cat([self.get(f"{expert}{part}.weight") for part in parts]))
        return torch.stack(experts)  # [e, 2i, h] or [e, h, i]


class Embedding(nn.Module):  # type: ignore[misc]
    """[r, w] tokens to [r, w, h]."""

    def __init__(self, skeleton: PreTrainedModel, shards: Shards) -> None:
        super().__init__()
        self.embedding = skeleton.model.embed_tokens
        shards.fill(self.embedding, "model.embed_tokens.")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.embedding(inputs)


class Decoder(nn.Module):  # type: ignore[misc]
    """A layer, [r, w, h] to [r, w, h], with the angles of its positions."""

    def __init__(self, skeleton: PreTrainedModel, shards: Shards, index: int) -> None:
        super().__init__()
        self.layer = skeleton.model.layers[index]
        shards.fill(self.layer, f"model.layers.{index}.")
        self.rotary = type(skeleton.model.rotary_emb)(skeleton.config)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
        angles = self.rotary(hidden, positions)
        # Without a mask attention is causal, and rows are padded at their end only.
        return self.layer(hidden, attention_mask=None, position_ids=positions, position_embeddings=angles)


class Head(nn.Module):  # type: ignore[misc]
    """[r, w, h] to logits [r, w, v]."""

    def __init__(self, skeleton: PreTrainedModel, shards: Shards) -> None:
        super().__init__()
        self.norm, self.head = skeleton.model.norm, skeleton.lm_head
        shards.fill(self.norm, "model.norm.")
        shards.fill(self.head, "lm_head." if "lm_head.weight" in shards else "model.embed_tokens.")

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(hidden))


def build(model_dir: Path, manifest: Manifest, dtype: str, attention: str, stages: int) -> Any:
    """DeepSpeed's engine of this rank, one of `stages`."""
    deepspeed = _deepspeed()
    from deepspeed.pipe import LayerSpec, PipelineModule
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    kind = getattr(torch, dtype)
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config, dtype=kind, attn_implementation=attention)
    shards = Shards(model_dir, manifest, kind)
    layers = [LayerSpec(Decoder, skeleton, shards, index) for index in range(config.num_hidden_layers)]
    module = PipelineModule(
        [LayerSpec(Embedding, skeleton, shards), *layers, LayerSpec(Head, skeleton, shards)],
        num_stages=stages,
        partition_method="uniform",
        loss_fn=tokens.judge,
    )
    engine, *_ = deepspeed.initialize(model=module, config={"train_batch_size": 1, "train_micro_batch_size_per_gpu": 1})
    return engine


def score(engine: Any, spans: Sequence[Span], planned: Sequence[Batch]) -> dict[int, Scored]:
    """Scores by index of the span, on the last rank; empty on the others."""
    scored: dict[int, Scored] = {}
    for batch in planned:
        engine.reset_activation_shape()
        engine.total_loss = None  # it would be added to the last call's, which had another shape
        parts: Iterator[tuple[torch.Tensor, torch.Tensor]] = iter(tokens.tensors(batch, spans, engine.device))
        judged = engine.eval_batch(
            parts, reduce_output=None, bcast_loss=False, num_micro_batches=len(batch.micro_batches)
        )
        if engine.is_last_stage():
            tokens.collect(batch, spans, judged, scored)
    return scored


def _deepspeed() -> Any:
    """DeepSpeed, ready to talk to the other ranks."""
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    import deepspeed

    # Collectives through shared memory: compiled at the first run, and never used by a pipeline.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
    deepspeed.logger.setLevel("WARNING")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
    return deepspeed


def run(
    job: Job, config: dict[str, Any], items: list[Item], spans: list[Span], planned: list[Batch]
) -> dict[str, Any] | None:
    """Scores the model as one rank. Only the last rank, which has the logits, returns a result."""
    manifest = weights.verify(job.model_dir, full=False)
    device = loading.choose_device(None)
    dtype = loading.choose_dtype(job.dtype, config, device.value)
    attention = loading.choose_attention(job.attention, dtype.value, device.value)
    engine = build(job.model_dir, manifest, dtype.value, attention.value, job.stages)
    started = time.perf_counter()
    scored = score(engine, spans, planned)
    costs = {"weights_bytes": loading.size_bytes(engine.module), "peak_rss_bytes": document.peak_rss_bytes()}
    ranks: list[dict[str, Any]] = [{}] * job.stages
    torch.distributed.all_gather_object(ranks, costs)
    torch.distributed.destroy_process_group()
    if not scored:
        return None
    figures = document.summary(items, spans, scored)
    revision = loading.Choice("revision", manifest.revision, f"the manifest of {job.model_dir}")
    choices = [asdict(choice) for choice in (revision, device, dtype, attention)]
    return {"choices": choices, "ranks": ranks, **document.speed(figures, started), **figures}
