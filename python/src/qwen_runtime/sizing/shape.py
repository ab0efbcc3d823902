"""The shape of a model: what its config.json says, and the exact tensors that follow from it.

Letters: L layers, H hidden size, V vocabulary, q / kv heads of d numbers each, I width of a dense MLP, E experts of
width N, of which k work on a token. Source of the tensor list: the modelling code of transformers for Qwen2, Qwen3,
Qwen3Moe and Llama (https://github.com/huggingface/transformers/tree/main/src/transformers/models).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import families, published, stored

EXPERTS, EXPERTS_RENAMED = "num_experts", "num_local_experts"
"""How many experts a mixture has: as the models that Qwen published say it, and as transformers 5 writes it."""
FAMILIES = families.PLANNED
MOST_LAYERS = 10_000
BF16_BYTES = 2
FP8_BYTES = 1
FP8_SCALE_BYTES = 4
"""Each block of weights has one float32, as vLLM holds them (a checkpoint may store them as bf16)."""


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

    @property
    def parameters(self) -> int:
        return self.rows * self.columns * self.copies

    def size_bytes(self, fp8_block: int | None) -> int:
        """Bytes in FP8 with block scales where the tensor can be quantised, else in bf16."""
        if fp8_block is None or not self.quantizable:
            return self.parameters * BF16_BYTES
        return self.parameters * FP8_BYTES + self.scale_bytes(fp8_block)

    def scale_bytes(self, fp8_block: int | None) -> int:
        if fp8_block is None or not self.quantizable:
            return 0
        blocks = -(-self.rows // fp8_block) * -(-self.columns // fp8_block)
        return blocks * self.copies * FP8_SCALE_BYTES


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    family: str
    """model_type of config.json: a key of FAMILIES."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context_tokens: int
    """Longest context, with the rotary embedding stretched as the configuration says."""
    intermediate: int
    """Width of the MLP of dense layers."""
    tied: bool
    """Whether the output projection is the embedding."""
    experts: int = 0
    experts_per_token: int = 0
    moe_intermediate: int = 0
    dense_layers: int = 0
    """Layers with a dense MLP in a model of experts; all layers of any other model are dense."""
    bias: bool = False
    """Whether q, k and v have biases and, except in Qwen2, the projection after them too."""
    fp8_block: int | None = None
    """Edge of the square blocks of a checkpoint in FP8; None for one in bf16."""
    unstretched_context_tokens: int = 0
    """Context without YaRN, where context_tokens is with it and longer."""
    kv_number_bytes: int = BF16_BYTES
    """Bytes of a number in the KV cache: a choice of whoever serves, not of the checkpoint."""
    nested: bool = field(default=False, compare=False)
    """Whether config.json has the sizes in its text_config."""
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """Oddities of the files from which it was read, none of which changes a size."""

    @property
    def quantization(self) -> str:
        return "fp8" if self.fp8_block else "bf16"

    @property
    def expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    def tensors(self) -> list[Tensor]:
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        hidden, layers = self.hidden, self.layers
        dense, sparse = layers - self.expert_layers, self.expert_layers
        tensors = [
            Tensor("embedding", self.vocabulary, hidden, 1, Shard.VOCABULARY, in_layer=False),
            Tensor("attention", q, hidden, layers, Shard.HEADS, True),
            Tensor("attention", kv, hidden, 2 * layers, Shard.KV_HEADS, True),
            Tensor("attention", hidden, q, layers, Shard.HEADS, True),
            Tensor("norms", hidden, 1, 2 * layers, Shard.NOT),
            Tensor("norms", hidden, 1, 1, Shard.NOT, in_layer=False),
        ]
        if self.bias:
            tensors.append(Tensor("attention", q, 1, layers, Shard.HEADS))
            tensors.append(Tensor("attention", kv, 1, 2 * layers, Shard.KV_HEADS))
        if self.bias and self.family != "qwen2":
            tensors.append(Tensor("attention", hidden, 1, layers, Shard.NOT))
        if self.family in ("qwen3", "qwen3_moe"):
            tensors.append(Tensor("norms", self.head_dim, 1, 2 * layers, Shard.NOT))
        if dense:
            tensors.append(Tensor("mlp", self.intermediate, hidden, 3 * dense, Shard.WIDTH, True))
        if sparse:
            tensors.append(Tensor("router", self.experts, hidden, sparse, Shard.NOT))
            tensors.append(
                Tensor("experts", self.moe_intermediate, hidden, 3 * self.experts * sparse, Shard.EXPERTS, True)
            )
        if not self.tied:
            tensors.append(Tensor("output", self.vocabulary, hidden, 1, Shard.VOCABULARY, in_layer=False))
        return tensors

    @property
    def parameters(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors())

    @property
    def size_bytes(self) -> int:
        """Bytes of all weights as they lie in memory, undivided."""
        return sum(tensor.size_bytes(self.fp8_block) for tensor in self.tensors())

    @property
    def active_parameters(self) -> int:
        """Parameters that work on one token: all but the experts that were not chosen."""
        idle = sum(t.parameters for t in self.tensors() if t.part == "experts")
        return self.parameters - (idle * (self.experts - self.experts_per_token) // self.experts if idle else 0)

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers, undivided and unreplicated."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_number_bytes

    def parts(self) -> dict[str, tuple[int, int]]:
        """Part to (parameters, bytes), in the order in which a forward pass meets them."""
        sums: dict[str, tuple[int, int]] = {}
        for tensor in self.tensors():
            parameters, size_bytes = sums.get(tensor.part, (0, 0))
            sums[tensor.part] = parameters + tensor.parameters, size_bytes + tensor.size_bytes(self.fp8_block)
        return sums


def is_mixture(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a mixture of experts."""
    return bool(config.get(EXPERTS) or config.get(EXPERTS_RENAMED))


def from_config(name: str, config: Mapping[str, Any], where: str) -> Shape:
    """The shape that a config.json describes; `where` names the file in messages. Raises UsageError."""
    whole, config = config, published.text_part(config, where)
    family = _family(whole, config, where)
    reader = _Reader(config, where)
    if config.get("mlp_bias"):
        raise reader.wrong("mlp_bias", config["mlp_bias"], "none: sizes of such models are not known here")
    heads = reader.number("num_attention_heads")
    hidden = reader.number("hidden_size")
    layers = reader.number("num_hidden_layers", most=MOST_LAYERS)
    sparse = family == "qwen3_moe"
    if config.get("head_dim") is None:
        reader.divides("num_attention_heads", heads, "hidden_size", hidden)
    shape = Shape(
        name=name,
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=reader.number("num_key_value_heads", heads),
        head_dim=reader.number("head_dim", hidden // heads),
        vocabulary=reader.number("vocab_size"),
        context_tokens=published.longest_context(whole, where),
        unstretched_context_tokens=published.context_without_yarn(whole, where),
        nested=bool(whole.get(published.TEXT)),
        intermediate=reader.number("intermediate_size"),
        tied=config.get("tie_word_embeddings") is True,
        experts=reader.number(EXPERTS, config.get(EXPERTS_RENAMED)) if sparse else 0,
        experts_per_token=reader.number("num_experts_per_tok") if sparse else 0,
        moe_intermediate=reader.number("moe_intermediate_size") if sparse else 0,
        dense_layers=_dense_layers(config, layers, reader) if sparse else 0,
        bias=family == "qwen2" or config.get("attention_bias") is True,
        fp8_block=stored.fp8_block(whole, where),
    )
    reader.divides("num_key_value_heads", shape.kv_heads, "num_attention_heads", shape.heads)
    if shape.experts_per_token > shape.experts:
        raise reader.wrong("num_experts_per_tok", shape.experts_per_token, f"at most num_experts, {shape.experts}")
    return shape


def _family(whole: Mapping[str, Any], text: Mapping[str, Any], where: str) -> str:
    """The model_type of the language model, which must be one of FAMILIES and have nothing beside it."""
    inner, outer = text.get("model_type"), whole.get("model_type")
    family = next((name for name in (inner, outer) if isinstance(name, str) and name in FAMILIES), None)
    if family is None:
        nested = f" with a {published.TEXT} of model_type {inner!r}" if inner != outer else ""
        why = families.reason((outer, inner))
        raise UsageError(
            f"{where} describes model_type {outer!r}{nested}{': ' if why else ''}{why}",
            f"one of {', '.join(FAMILIES)}",
            "Plan a model of these families. `qwen-runtime serve` takes others too, in a layout that you choose.",
        )
    if key := published.encoder(whole):
        raise UsageError(
            f"{where} has {key}",
            "a model of text alone",
            "Plan its language model alone; sizes of encoders are not known here.",
        )
    return family


class _Reader:
    """Sizes of one config.json; messages name the file by `where`."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self._config, self._where = config, where

    def number(self, key: str, default: int | None = None, most: int = published.LARGEST) -> int:
        return published.number(self._config, key, self._where, default, most)

    def divides(self, small_key: str, small: int, large_key: str, large: int) -> None:
        if large % small:
            raise self.wrong(small_key, small, f"a divisor of {large_key}, {large}")

    def wrong(self, key: str, value: object, needed: str) -> UsageError:
        return published.wrong(self._where, key, value, needed)


def _dense_layers(config: Mapping[str, Any], layers: int, reader: _Reader) -> int:
    """Layer i has experts unless it is in mlp_only_layers or decoder_sparse_step does not divide i + 1."""
    step = reader.number("decoder_sparse_step", 1)
    dense = config.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(type(layer) is int for layer in dense):
        raise reader.wrong("mlp_only_layers", dense, "a list of layers")
    return sum(1 for layer in range(layers) if layer in dense or (layer + 1) % step)
