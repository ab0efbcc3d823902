"""The shape of a model: its sizes, and the bytes of its weights, keys and values that follow from them.

Letters: L layers, H hidden size, V vocabulary, q / kv heads of d numbers each, I width of a dense MLP, E experts of
width N, of which k work on a token. tensors.py lists the tensors, configs.py reads a config.json.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from qwen_runtime.sizing import families, tensors
from qwen_runtime.sizing.families import Family
from qwen_runtime.sizing.tensors import BF16_BYTES, INT8_BYTES, INT8_SCALE_BYTES, Tensor

MXFP4_BLOCK = 32
"""Numbers of four bits that share a scale of one byte (https://www.opencompute.org, Microscaling Formats)."""


@dataclass(frozen=True, slots=True)
class Latent:
    """Latent attention (MLA): the widths of its compressed vectors and of its heads."""

    query_rank: int
    """0 where queries are not compressed."""
    rank: int
    plain_dim: int
    rope_dim: int
    value_dim: int

    @property
    def width(self) -> int:
        """Numbers of one token in the cache of a layer: the compressed vector, and a key with the position in it."""
        return self.rank + self.rope_dim


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear attention by the gated delta rule (https://arxiv.org/abs/2412.06464)."""

    layers: int
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    """Tokens that its convolution looks at."""
    number_bytes: int = BF16_BYTES
    """Bytes of a number of the state."""

    @property
    def keys(self) -> int:
        return self.key_heads * self.key_dim

    @property
    def values(self) -> int:
        return self.value_heads * self.value_dim

    @property
    def state_bytes(self) -> int:
        """State of one request in one layer: what the convolution remembers, and a matrix for each value head (vLLM
        0.32, gated_delta_net_state_shape)."""
        remembered = (2 * self.keys + self.values) * (self.kernel - 1) * BF16_BYTES
        return remembered + self.value_heads * self.key_dim * self.value_dim * self.number_bytes


@dataclass(frozen=True, slots=True)
class Windows:
    """Layers that attend to so many tokens before each one only."""

    layers: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    family: str
    """model_type of config.json: a key of families.PLANNED."""
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
    """Whether q, k and v have biases and, in some families, the projection after them too."""
    fp8_block: int | None = None
    """Edge of the square blocks of a checkpoint in FP8; None for one in bf16."""
    mxfp4: bool = False
    """Whether experts are stored in blocks of four bits."""
    int8: bool = False
    """Whether matrices of layers are stored in INT8 with a scale for each row (W8A8 of compressed-tensors)."""
    shared_intermediate: int = 0
    """Width of the experts that work on every token, all together."""
    own_qk_norm: str = ""
    """Norms of queries and keys, where not the whole family has them."""
    latent: Latent | None = None
    linear: Linear | None = None
    windows: Windows | None = None
    unstretched_context_tokens: int = 0
    """Context without YaRN, where context_tokens is with it and longer."""
    kv_number_bytes: int = BF16_BYTES
    """Bytes of a number in the KV cache: a choice of whoever serves, not of the checkpoint."""
    computed_bytes: int = BF16_BYTES
    """Bytes of a number that is stored in bf16, as it lies in memory: four where the hardware computes in float32."""
    nested: bool = field(default=False, compare=False)
    """Whether config.json has the sizes in its text_config."""
    text_alone: bool = field(default=False, compare=False)
    """Whether the checkpoint has an encoder of images, which is left out."""
    chat_template: str | None = field(default=None, compare=False, repr=False)
    """The chat template beside config.json, empty where there is none; None for a name of the catalogue."""
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """Oddities of the files from which it was read, none of which changes a size."""

    @property
    def dtype(self) -> str:
        """Name of the form of numbers in which the model computes."""
        return "bfloat16" if self.computed_bytes == BF16_BYTES else "float32"

    @property
    def quantization(self) -> str:
        if self.int8:
            return "int8"
        return "mxfp4" if self.mxfp4 else "fp8" if self.fp8_block else "bf16"

    @property
    def expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def attention_layers(self) -> int:
        """Layers that keep keys and values, for the whole context or for a window of it."""
        return self.layers - (self.linear.layers if self.linear else 0)

    @property
    def growing_layers(self) -> int:
        """Layers whose cache grows with the context."""
        return self.attention_layers - (self.windows.layers if self.windows else 0)

    @property
    def traits(self) -> Family:
        return families.PLANNED[self.family]

    @property
    def qk_norm(self) -> str:
        return self.own_qk_norm or self.traits.qk_norm

    def tensors(self) -> list[Tensor]:
        return tensors.of(self)

    def bytes_of(self, tensor: Tensor) -> int:
        """Bytes of a tensor in the form of this checkpoint, as they lie in memory."""
        if self.mxfp4 and tensor.part == "experts" and tensor.quantizable:
            return tensor.parameters // 2 + tensor.parameters // MXFP4_BLOCK
        if self.in_int8(tensor):
            return tensor.parameters * INT8_BYTES + self.scale_bytes_of(tensor)
        if self.computed_bytes > tensor.number_bytes:
            return tensor.parameters * self.computed_bytes
        return tensor.size_bytes(self.fp8_block)

    def in_int8(self, tensor: Tensor) -> bool:
        return self.int8 and tensor.quantizable

    def scale_bytes_of(self, tensor: Tensor) -> int:
        """Bytes of the scales of a tensor in FP8 or INT8, as they lie in memory."""
        if self.in_int8(tensor):
            return tensor.rows * tensor.copies * INT8_SCALE_BYTES
        return tensor.scale_bytes(self.fp8_block)

    @property
    def parameters(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors())

    @property
    def size_bytes(self) -> int:
        """Bytes of all weights as they lie in memory, undivided."""
        return sum(self.bytes_of(tensor) for tensor in self.tensors())

    @property
    def active_parameters(self) -> int:
        """Parameters that work on one token: all but the experts that were not chosen."""
        idle = sum(t.parameters for t in self.tensors() if t.part == "experts")
        return self.parameters - (idle * (self.experts - self.experts_per_token) // self.experts if idle else 0)

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers that grow, undivided and unreplicated."""
        return self.growing_layers * self.kv_layer_bytes

    @property
    def kv_layer_bytes(self) -> int:
        """Keys and values of one token in one layer."""
        numbers = self.latent.width if self.latent else 2 * self.kv_heads * self.head_dim
        return numbers * self.kv_number_bytes

    @property
    def window_bytes(self) -> int:
        """Keys and values of one request in all layers with windows, once they are full."""
        return self.windows.layers * self.windows.tokens * self.kv_layer_bytes if self.windows else 0

    @property
    def state_bytes(self) -> int:
        """State of one request in all layers of linear attention."""
        return self.linear.layers * self.linear.state_bytes if self.linear else 0

    def parts(self) -> dict[str, tuple[int, int]]:
        """Part to (parameters, bytes), in the order in which a forward pass meets them."""
        sums: dict[str, tuple[int, int]] = {}
        for tensor in self.tensors():
            parameters, size_bytes = sums.get(tensor.part, (0, 0))
            sums[tensor.part] = parameters + tensor.parameters, size_bytes + self.bytes_of(tensor)
        return sums
