"""Memory of one GPU in a layout: weights, headroom, and room for keys and values.

Headroom is all that an engine needs beside weights and KV cache. The formulas follow vLLM's own accounts of it, which
the table of docs/planner.md compares with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.sizing.tensors import BF16_BYTES, Shard, Tensor
from qwen_runtime.units import GIB

UTILIZATION = 0.90
"""Share of a GPU that the engine may take. vLLM 0.32 takes 0.92 unless told; the rest is for what it does not count."""
BATCHED_TOKENS = 8192
"""Most tokens of one step: vLLM's default for a server on a large GPU, set explicitly so that the plan stays
true."""
MAX_SEQUENCES = 256
BLOCK_TOKENS = 16
"""Tokens of one block of the KV cache (vLLM's default block_size)."""
# CUDA context, libraries and, between ranks, NCCL's buffers: "non_torch_memory" of 1.79 GiB on one GPU and 3.58 GiB
# on two, in https://github.com/vllm-project/vllm/pull/10511.
ALONE_BYTES = int(1.8 * GIB)
TOGETHER_BYTES = int(3.6 * GIB)
# CUDA graphs: 0.73 GiB estimated in https://github.com/vllm-project/vllm/pull/39559, 0.64 GiB held in
# https://github.com/vllm-project/vllm/issues/27508; rounded up.
GRAPH_BYTES = GIB
# API server and engine process before their weights, measured with vLLM 0.32 on a CPU: 1.07 and 1.0 GB.
CPU_PROCESS_BYTES = 2 * GIB
MXFP4_MULTIPLE = 128
HIDDEN_COPIES = 4
"""Residual, normed input, and the two halves of a block's output, all alive at once."""
SAMPLING_BYTES_PER_LOGIT = 24
"""bf16 and float32 logits, a sorted copy, its 64-bit indices, probabilities (vLLM's sampler with top-p)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of one GPU and its parts, in bytes."""

    usable_bytes: int
    weights_bytes: int
    headroom_bytes: int
    kv_bytes_per_token: int
    """Bytes of one token's keys and values that lie on this GPU."""
    kv_unit_bytes: int = 1
    """The KV cache is a multiple of this."""
    request_bytes: int = 0
    """Bytes of each request that do not grow with it: states of linear attention, full windows."""

    @property
    def kv_bytes(self) -> int:
        left = max(0, self.usable_bytes - self.weights_bytes - self.headroom_bytes)
        return left // self.kv_unit_bytes * self.kv_unit_bytes

    @property
    def kv_tokens(self) -> int:
        """Tokens that one attention group holds: no request can be longer."""
        free = max(0, self.kv_bytes - self.request_bytes)
        return free // self.kv_bytes_per_token // BLOCK_TOKENS * BLOCK_TOKENS

    def requests(self, tokens: int) -> int:
        """Requests of so many tokens that one attention group holds at once."""
        if not self.request_bytes:
            return self.kv_tokens // tokens
        return self.kv_bytes // (tokens * self.kv_bytes_per_token + self.request_bytes)

    @property
    def missing_bytes(self) -> int:
        """Bytes of weights and headroom beyond the usable memory."""
        return max(0, self.weights_bytes + self.headroom_bytes - self.usable_bytes)


def account(
    shape: Shape, gpu: Gpu, layout: Layout, utilization: float = UTILIZATION, *, whole_embedding: bool = False
) -> Memory:
    """whole_embedding: every rank holds all of an embedding that is not the output projection too."""
    stage_layers = -(-shape.layers // layout.pipeline_parallel)
    held = kv_share(shape, layout)
    growing, others = (-(-stage_layers * layers // shape.layers) for layers in
                       (shape.growing_layers, shape.layers - shape.growing_layers))  # fmt: skip
    fixed_bytes = shape.window_bytes * held + shape.state_bytes / layout.tensor_parallel
    return Memory(
        usable_bytes=int(gpu.usable_bytes * utilization),
        weights_bytes=weights_bytes(shape, layout, whole_embedding),
        headroom_bytes=sum(headroom_parts(shape, gpu, layout).values()),
        kv_bytes_per_token=int(growing * shape.kv_layer_bytes * held),
        kv_unit_bytes=GIB if gpu.vendor == "cpu" else 1,  # VLLM_CPU_KVCACHE_SPACE counts in GiB
        request_bytes=math.ceil(fixed_bytes * others / max(1, shape.layers - shape.growing_layers)),
    )


def kv_share(shape: Shape, layout: Layout) -> float:
    """The part of a layer's keys and values that one rank holds: compressed vectors are on every rank."""
    return 1.0 if shape.latent else max(1 / layout.tensor_parallel, 1 / shape.kv_heads)


def weights_bytes(shape: Shape, layout: Layout, whole_embedding: bool = False) -> int:
    """Weights on the fullest GPU: the stage with most layers, together with the larger of the two ends."""
    stage_layers = -(-shape.layers // layout.pipeline_parallel)
    ends: dict[str, float] = {"embedding": 0.0, "output": 0.0, "norms": 0.0}
    inside = 0.0
    for tensor in shape.tensors():
        whole = whole_embedding and tensor.part == "embedding" and not shape.tied
        size_bytes = shape.bytes_of(tensor) * (1.0 if whole else share(tensor, shape, layout))
        if tensor.in_layer:
            inside += size_bytes * _stage_share(tensor, shape, stage_layers)
        else:
            ends[tensor.part] += size_bytes
    if layout.pipeline_parallel > 1:
        return int(inside + max(ends["embedding"], ends["output"]) + ends["norms"])
    return int(inside + sum(ends.values()))


def _stage_share(tensor: Tensor, shape: Shape, stage_layers: int) -> float:
    """The part of a tensor of all layers that the fullest stage has: layers with experts are the heaviest, and kinds of
    attention alternate."""
    layers = tensor.layers or shape.layers
    if layers == shape.layers:
        return stage_layers / layers
    sparse = min(stage_layers, shape.expert_layers)
    if tensor.part == "mlp":
        return min(stage_layers - sparse, layers) / layers
    if layers == shape.expert_layers:
        return sparse / layers
    return -(-stage_layers * layers // shape.layers) / layers


def share(tensor: Tensor, shape: Shape, layout: Layout) -> float:
    """The part of a tensor that one rank of a stage holds."""
    tensor_parallel = layout.tensor_parallel
    if tensor.shard is Shard.NOT:
        return 1.0
    if tensor.shard is Shard.KV_HEADS:
        return max(1 / tensor_parallel, 1 / shape.kv_heads)
    if tensor.shard is Shard.EXPERTS:
        return _mxfp4_padding(shape, layout) / max(layout.expert_parallel, tensor_parallel)
    if tensor.shard is Shard.VOCABULARY:
        padded = -(-tensor.rows // 64) * 64  # as vLLM pads it
        return padded / tensor.rows / tensor_parallel
    return 1 / tensor_parallel


def _mxfp4_padding(shape: Shape, layout: Layout) -> float:
    """Factor by which vLLM's kernels for MXFP4 widen experts: width and hidden size become multiples of 128 (vLLM 0.32,
    layers/quantization/mxfp4.py)."""
    if not shape.mxfp4:
        return 1.0
    width = shape.moe_intermediate // (layout.tensor_parallel if layout.expert_parallel == 1 else 1)
    padded = (-(-number // MXFP4_MULTIPLE) * MXFP4_MULTIPLE / number for number in (width, shape.hidden))
    return math.prod(padded)


def headroom_parts(shape: Shape, gpu: Gpu, layout: Layout) -> dict[str, int]:
    """Bytes that an engine needs beside weights and KV cache, by purpose."""
    sampling = MAX_SEQUENCES * shape.vocabulary * SAMPLING_BYTES_PER_LOGIT
    activations = max(_forward_bytes(shape, layout), sampling)
    if gpu.vendor == "cpu":
        return {"process": CPU_PROCESS_BYTES, "activations": activations}
    process = ALONE_BYTES if layout.gpus_per_replica == 1 else TOGETHER_BYTES
    parts = {"process": process, "graphs": GRAPH_BYTES, "activations": activations}
    return {**parts, "absorbed": _absorbed_bytes(shape, layout)} if shape.latent else parts


def _absorbed_bytes(shape: Shape, layout: Layout) -> int:
    """Second copy, in bf16, of the matrices that unfold compressed vectors: decoding works with it, prefills with the
    first (vLLM 0.32, W_UK_T and W_UV)."""
    assert shape.latent
    unfolded = shape.heads * (shape.latent.plain_dim + shape.latent.value_dim)
    stage_layers = -(-shape.layers // layout.pipeline_parallel)
    return stage_layers * unfolded * shape.latent.rank * BF16_BYTES // layout.tensor_parallel


def _forward_bytes(shape: Shape, layout: Layout) -> int:
    """Hidden states of a full step, and the widest intermediate of one layer."""
    tokens = BATCHED_TOKENS
    hidden = HIDDEN_COPIES * tokens * shape.hidden * shape.computed_bytes
    widest = max(shape.intermediate, shape.linear.keys + shape.linear.values if shape.linear else 0)
    dense = 3 * tokens * widest // layout.tensor_parallel * shape.computed_bytes
    if not shape.experts:
        return hidden + dense
    # Tokens of all attention groups come together for the experts. Each of a token's k experts has a row of its own:
    # gate and up (2 N) come first, and the result (H) reuses their memory; then comes their product (N).
    gathered = tokens * layout.attention_groups
    hidden += gathered * shape.hidden * shape.computed_bytes * (2 if layout.attention_groups > 1 else 0)
    width = shape.moe_intermediate
    if layout.expert_parallel == 1:
        width //= layout.tensor_parallel
    rows = gathered * shape.experts_per_token
    sparse = rows * (max(2 * width, shape.hidden) + width) * shape.computed_bytes
    return hidden + (max(dense, sparse) if shape.dense_layers else sparse)
