"""The exact tensors of a model, as they follow from its shape.

Source of the lists: the modelling code of transformers 5.19 for each family, counted against its own parameters
(https://github.com/huggingface/transformers/tree/main/src/transformers/models). Tensors for predicting several tokens
at once (MTP) are left out: engines load them for speculative decoding alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen_runtime.sizing.shape import Shape

BF16_BYTES = 2
FP32_BYTES = 4
FP8_BYTES = 1
FP8_SCALE_BYTES = 4
"""Each block of weights has one float32, as vLLM holds them (a checkpoint may store them as bf16)."""
INT8_BYTES = 1
INT8_SCALE_BYTES = 4
"""The same for each row of a matrix in INT8."""


class Shard(Enum):
    """How tensor parallelism divides a tensor."""

    VOCABULARY = "vocabulary"
    HEADS = "heads"
    KV_HEADS = "kv heads"
    """Replicated once there are more ranks than key/value heads."""
    WIDTH = "width"
    EXPERTS = "experts"
    """Their width by tensor parallelism, or whole experts by expert parallelism."""
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Tensor:
    """`copies` equal matrices of rows x columns; a vector has one column."""

    part: str
    rows: int
    columns: int
    copies: int
    shard: Shard
    quantizable: bool = False
    in_layer: bool = True
    layers: int = 0
    """Layers that have it; 0 where all have."""
    number_bytes: int = BF16_BYTES
    """Bytes of a number that is not quantised."""

    @property
    def parameters(self) -> int:
        return self.rows * self.columns * self.copies

    def size_bytes(self, fp8_block: int | None) -> int:
        """Bytes in FP8 with block scales where the tensor can be quantised, else as it is."""
        if fp8_block is None or not self.quantizable:
            return self.parameters * self.number_bytes
        return self.parameters * FP8_BYTES + self.scale_bytes(fp8_block)

    def scale_bytes(self, fp8_block: int | None) -> int:
        if fp8_block is None or not self.quantizable:
            return 0
        blocks = -(-self.rows // fp8_block) * -(-self.columns // fp8_block)
        return blocks * self.copies * FP8_SCALE_BYTES


def of(shape: Shape) -> list[Tensor]:
    hidden, layers = shape.hidden, shape.layers
    tensors = [
        Tensor("embedding", shape.vocabulary, hidden, 1, Shard.VOCABULARY, in_layer=False),
        *(_latent(shape) if shape.latent else _heads(shape)),
        *(_linear(shape) if shape.linear else ()),
        Tensor("norms", hidden, 1, 2 * layers, Shard.NOT),
        Tensor("norms", hidden, 1, 1, Shard.NOT, in_layer=False),
        *_dense(shape),
        *(_experts(shape) if shape.expert_layers else ()),
    ]
    if not shape.tied:
        tensors.append(Tensor("output", shape.vocabulary, hidden, 1, Shard.VOCABULARY, in_layer=False))
    return tensors


def _heads(shape: Shape) -> Iterator[Tensor]:
    """Attention with keys and values for each of its heads."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    hidden, layers, traits = shape.hidden, shape.attention_layers, shape.traits

    def tensor(rows: int, columns: int, copies: int, shard: Shard, quantizable: bool = False) -> Tensor:
        part = "norms" if shard is Shard.NOT and columns == 1 else "attention"
        return Tensor(part, rows, columns, copies * layers, shard, quantizable, layers=layers)

    yield tensor(q * (2 if traits.gated_attention else 1), hidden, 1, Shard.HEADS, True)
    yield tensor(kv, hidden, 2, Shard.KV_HEADS, True)
    yield tensor(hidden, q, 1, Shard.HEADS, True)
    if shape.bias:
        yield tensor(q, 1, 1, Shard.HEADS)
        yield tensor(kv, 1, 2, Shard.KV_HEADS)
    if shape.bias and traits.output_bias:
        yield Tensor("attention", hidden, 1, layers, Shard.NOT, layers=layers)
    if traits.sinks:
        yield tensor(shape.heads, 1, 1, Shard.HEADS)
    if shape.qk_norm == "head":
        yield tensor(shape.head_dim, 1, 2, Shard.NOT)
    elif shape.qk_norm == "all":
        yield tensor(q + kv, 1, 1, Shard.NOT)


def _latent(shape: Shape) -> Iterator[Tensor]:
    """Attention whose keys and values are one compressed vector for each token (MLA)."""
    latent, layers = shape.latent, shape.layers
    assert latent
    query = shape.heads * (latent.plain_dim + latent.rope_dim)
    if latent.query_rank:
        yield Tensor("attention", latent.query_rank, shape.hidden, layers, Shard.NOT, True)
        yield Tensor("norms", latent.query_rank, 1, layers, Shard.NOT)
        yield Tensor("attention", query, latent.query_rank, layers, Shard.HEADS, True)
    else:
        yield Tensor("attention", query, shape.hidden, layers, Shard.HEADS, True)
    yield Tensor("attention", latent.width, shape.hidden, layers, Shard.NOT, True)
    yield Tensor("norms", latent.rank, 1, layers, Shard.NOT)
    both = shape.heads * (latent.plain_dim + latent.value_dim)
    yield Tensor("attention", both, latent.rank, layers, Shard.HEADS, True)
    yield Tensor("attention", shape.hidden, shape.heads * latent.value_dim, layers, Shard.HEADS, True)


def _linear(shape: Shape) -> Iterator[Tensor]:
    """Linear attention by the gated delta rule: a state of fixed size instead of keys and values."""
    linear, hidden = shape.linear, shape.hidden
    assert linear
    layers = linear.layers

    def tensor(rows: int, columns: int, quantizable: bool = False) -> Tensor:
        return Tensor("attention", rows, columns, layers, Shard.HEADS, quantizable, layers=layers)

    yield tensor(2 * linear.keys + 2 * linear.values, hidden, True)
    yield tensor(2 * linear.value_heads, hidden)
    yield tensor(2 * linear.keys + linear.values, linear.kernel)
    yield tensor(2 * linear.value_heads, 1)
    yield Tensor("norms", linear.value_dim, 1, layers, Shard.NOT, layers=layers)
    yield tensor(hidden, linear.values, True)


def _dense(shape: Shape) -> Iterator[Tensor]:
    dense, width, hidden = shape.layers - shape.expert_layers, shape.intermediate, shape.hidden
    if dense:
        yield Tensor("mlp", width, hidden, 2 * dense, Shard.WIDTH, True, layers=dense)
        yield Tensor("mlp", hidden, width, dense, Shard.WIDTH, True, layers=dense)


def _experts(shape: Shape) -> Iterator[Tensor]:
    hidden, sparse, width, traits = shape.hidden, shape.expert_layers, shape.moe_intermediate, shape.traits
    yield Tensor("router", shape.experts, hidden, sparse, Shard.NOT, layers=sparse)
    if traits.router_bias_bytes:
        number_bytes = traits.router_bias_bytes
        yield Tensor("router", shape.experts, 1, sparse, Shard.NOT, layers=sparse, number_bytes=number_bytes)
    yield Tensor("experts", width, hidden, 3 * shape.experts * sparse, Shard.EXPERTS, True, layers=sparse)
    if traits.expert_bias:
        yield Tensor("experts", 2 * width + hidden, 1, shape.experts * sparse, Shard.EXPERTS, layers=sparse)
    if shape.shared_intermediate:
        yield Tensor("shared", shape.shared_intermediate, hidden, 3 * sparse, Shard.WIDTH, True, layers=sparse)
    if traits.shared_gate:
        yield Tensor("router", 1, hidden, sparse, Shard.NOT, layers=sparse)
