"""How fast a layout can serve: one step is work at stated efficiencies, plus what each layer costs besides.

    step        = layers x overhead + max(bytes / bandwidth, operations / rate) + communication
    on a processor: layers x overhead + bytes / bandwidth + operations / rate
    inter_token = decode step + what the prefills of other requests take from it
    ttft        = request overhead + prefill + half a step of those already running + the queue

Bytes and operations per token as in https://jax-ml.github.io/scaling-book/inference/. A batch of B tokens touches
E x (1 - (1 - k / E) ^ B) experts when each token draws k of E evenly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qwen_runtime.plan.speculation import Speculation
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.memory import BATCHED_TOKENS, kv_share, share
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.sizing.tensors import BF16_BYTES

LINK_SHARE = 0.8
"""Share of a link's rate that an all-reduce reaches: 360 of 450 GB/s bus bandwidth on eight H100
(https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md says how it is counted)."""

HOPPER = (9, 0)
"""Compute capability of the first GPUs whose rate in bf16 is beyond what their memory and power let kernels reach."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of a GPU's figures that engines reach, and times that they spend besides. python/calibration fits them."""

    dense_bandwidth: float
    """Share of memory bandwidth while reading attention, dense MLPs and KV cache."""
    expert_bandwidth: float
    """The same for experts, uneven load among ranks included."""
    dense_compute: float
    """Share of the bf16 rate in matrix products of a prefill."""
    older_compute: float
    """The same on NVIDIA's GPUs before Hopper, whose rate is smaller and easier to reach."""
    expert_compute: float
    """The same inside experts."""
    fp8_compute: float
    """Share of the FP8 rate in block-quantised products, dense and expert."""
    tile_rows: float
    """Tokens that a matrix product works on at least: kernels pad fewer to a tile of this many rows."""
    layer_s: float
    """Launches, norms and attention of one layer in a decode step, whatever the batch."""
    expert_layer_s: float
    """Added where a layer has experts: routing, sorting, combining."""
    tensor_parallel_layer_s: float
    """Added where ranks must agree twice a layer."""
    prefill_layer_s: float
    """Added in a prefill, which runs without a captured graph."""
    request_s: float
    """HTTP, tokenising and scheduling of one request."""
    amd_overhead: float
    """Factor on the costs of a layer on AMD's GPUs."""
    cpu_overhead: float
    """The same without a GPU."""

    def overhead(self, gpu: Gpu) -> float:
        return {"nvidia": 1.0, "amd": self.amd_overhead, "cpu": self.cpu_overhead}[gpu.vendor]


EFFICIENCY = Efficiency(
    dense_bandwidth=0.887,
    expert_bandwidth=0.519,
    dense_compute=0.306,
    older_compute=0.531,
    expert_compute=0.507,
    fp8_compute=0.439,
    tile_rows=30.3,
    layer_s=57.8e-6,
    expert_layer_s=42.7e-6,
    tensor_parallel_layer_s=32.2e-6,
    prefill_layer_s=1200e-6,
    request_s=23.0e-3,
    amd_overhead=1.92,
    cpu_overhead=3.08,
)
LIKELY = {"inter_token_s": (0.91, 1.19), "ttft_s": (0.84, 1.27), "output_tokens_per_s": (0.82, 1.33)}
"""Measured over predicted, from the tenth to the ninetieth of a hundred rows that the fit has not seen
(python/calibration): the range in which four of five measurements lie."""


@dataclass(frozen=True, slots=True)
class Prediction:
    concurrency: int
    """Requests in flight at the whole site."""
    running: float
    """Requests that one engine has in its batch; the rest wait."""
    output_tokens_per_s: float
    output_tokens_per_s_per_gpu: float
    ttft_s: float
    inter_token_s: float

    def likely(self) -> dict[str, tuple[float, float]]:
        """The range of each quantity in which four of five measurements would lie."""
        return {name: (getattr(self, name) * low, getattr(self, name) * high) for name, (low, high) in LIKELY.items()}


@dataclass(frozen=True, slots=True)
class Work:
    """Bytes that one GPU reads and operations that it computes in a step."""

    dense_bytes: float
    expert_bytes: float
    dense_flops: float
    expert_flops: float
    int8_bytes: float = 0.0
    int8_flops: float = 0.0

    @property
    def size_bytes(self) -> float:
        return self.dense_bytes + self.expert_bytes + self.int8_bytes

    @property
    def flops(self) -> float:
        return self.dense_flops + self.expert_flops + self.int8_flops


class Roofline:
    """The speed of one engine of a layout. Numbers are per rank, over all layers: stages work one after the other."""

    def __init__(
        self,
        shape: Shape,
        gpu: Gpu,
        layout: Layout,
        efficiency: Efficiency = EFFICIENCY,
        *,
        stages_overlap: bool = True,
        speculation: Speculation | None = None,
    ) -> None:
        self._speculation = speculation
        self._shape, self._gpu, self._layout, self._efficiency = shape, gpu, layout, efficiency
        self._batches = layout.pipeline_parallel if stages_overlap else 1  # computed at the same time
        ranks = Layout(layout.tensor_parallel, 1, layout.expert_parallel, layout.attention_groups)
        self._dense_bytes = self._expert_bytes = self._int8_bytes = 0.0
        dense_parameters = expert_parameters = int8_parameters = 0.0
        for tensor in shape.tensors():
            if tensor.part == "embedding" and not shape.tied:
                continue  # only the rows of the batch are read
            part = share(tensor, shape, ranks)
            if tensor.part == "experts":
                self._expert_bytes += shape.bytes_of(tensor) * part
                expert_parameters += tensor.parameters * part
            elif shape.in_int8(tensor):
                self._int8_bytes += shape.bytes_of(tensor) * part
                int8_parameters += tensor.parameters * part
            else:
                self._dense_bytes += shape.bytes_of(tensor) * part
                dense_parameters += tensor.parameters * part
        chosen = shape.experts_per_token / shape.experts if shape.experts else 0.0
        self._dense_flops, self._expert_flops = 2 * dense_parameters, 2 * expert_parameters * chosen
        self._int8_flops = 2 * int8_parameters
        held = kv_share(shape, ranks)
        self._kv_bytes = shape.kv_bytes_per_token * held
        # Windows are read, states read and written, by each request in each step.
        self._request_bytes = shape.window_bytes * held + 2 * shape.state_bytes / layout.tensor_parallel
        self._attention_flops = 4 * shape.heads * shape.head_dim * shape.growing_layers / layout.tensor_parallel

    def step_s(
        self, decoding: float, context_tokens: float, prompt_tokens: float = 0, behind_tokens: float = 0
    ) -> float:
        """Time of one pass through all layers: `decoding` requests get a token each, every one after `context_tokens`,
        and `prompt_tokens` of prompts are taken in beside them, after `behind_tokens` of their own."""
        e, gpu, groups = self._efficiency, self._gpu, self._layout.attention_groups
        work = self.work(decoding, context_tokens, prompt_tokens, behind_tokens)
        memory_s = work.dense_bytes / (gpu.bandwidth_bytes_per_s * e.dense_bandwidth)
        memory_s += work.expert_bytes / (gpu.bandwidth_bytes_per_s * e.expert_bandwidth)
        dense_rate, expert_rate = self._rates()
        tokens = decoding + prompt_tokens
        compute_s = (work.dense_flops + self._padding_flops(tokens / groups)) / dense_rate
        compute_s += work.expert_flops / expert_rate
        if gpu.int8:
            memory_s += work.int8_bytes / (gpu.bandwidth_bytes_per_s * gpu.int8.bandwidth_share)
            compute_s += work.int8_flops / gpu.int8.flops
        launch_s = self._launch_s() if prompt_tokens else 0.0
        # A GPU computes while its copies are under way; a processor's cores do both themselves, one after the other.
        busy_s = memory_s + compute_s if gpu.vendor == "cpu" else max(memory_s, compute_s, launch_s)
        return self._overhead_s() + busy_s + self._communication_s(tokens / groups)

    def work(self, decoding: float, context_tokens: float, prompt_tokens: float = 0, behind_tokens: float = 0) -> Work:
        """Bytes and operations of the same pass on one GPU of each stage, all stages together."""
        groups = self._layout.attention_groups
        tokens = decoding + prompt_tokens
        cached = (decoding * context_tokens + behind_tokens) / groups
        looked_at = decoding * context_tokens + prompt_tokens * behind_tokens
        return Work(
            dense_bytes=self._dense_bytes + cached * self._kv_bytes + decoding / groups * self._request_bytes,
            expert_bytes=self._expert_bytes * self._touched(tokens),
            dense_flops=(tokens * self._dense_flops + looked_at * self._attention_flops) / groups,
            expert_flops=tokens * self._expert_flops,
            int8_bytes=self._int8_bytes,
            int8_flops=tokens * self._int8_flops / groups,
        )

    def prefill_s(
        self, prompt_tokens: int, decoding: float = 0, context_tokens: float = 0, cached_tokens: int = 0
    ) -> float:
        """Time for a prompt, in the pieces in which the engine takes it, beside the requests that are decoding. Its
        first `cached_tokens` are in the KV cache: they are looked at, not computed."""
        total, done = 0.0, min(cached_tokens, prompt_tokens - 1)  # the last token is always computed
        while done < prompt_tokens:
            piece = min(BATCHED_TOKENS, prompt_tokens - done)
            total += self.step_s(decoding, context_tokens, piece, done + piece / 2)
            done += piece
        return total

    def _touched(self, tokens: float) -> float:
        """Share of the experts that a batch needs."""
        if not self._shape.experts:
            return 0.0
        idle = math.pow(1 - self._shape.experts_per_token / self._shape.experts, max(tokens, 1.0))
        return 1 - idle

    def _rates(self) -> tuple[float, float]:
        """Operations per second in dense layers and in experts."""
        e, gpu = self._efficiency, self._gpu
        if gpu.vendor == "cpu":
            return gpu.bf16_flops, gpu.bf16_flops  # a measured rate, not a nameplate's
        if self._shape.fp8_block and gpu.fp8_flops:
            return gpu.fp8_flops * e.fp8_compute, gpu.fp8_flops * e.fp8_compute
        older = gpu.vendor == "nvidia" and gpu.capability < HOPPER
        return gpu.bf16_flops * (e.older_compute if older else e.dense_compute), gpu.bf16_flops * e.expert_compute

    def _padding_flops(self, tokens: float) -> float:
        """Operations on rows that only fill a tile. Experts have kernels for few rows, and CPUs multiply a vector."""
        return 0.0 if self._gpu.vendor == "cpu" else max(0.0, self._efficiency.tile_rows - tokens) * self._dense_flops

    def _overhead_s(self) -> float:
        e, shape = self._efficiency, self._shape
        per_layer = e.layer_s
        if self._layout.tensor_parallel * self._layout.attention_groups > 1:
            per_layer += e.tensor_parallel_layer_s
        return (shape.layers * per_layer + shape.expert_layers * e.expert_layer_s) * e.overhead(self._gpu)

    def _launch_s(self) -> float:
        """Time in which the host issues the kernels of a prefill one by one, while the GPU works on those before."""
        return 0.0 if self._gpu.vendor == "cpu" else self._shape.layers * self._efficiency.prefill_layer_s

    def _communication_s(self, tokens: float) -> float:
        """Time of two all-reduces of the hidden states a layer, as a ring does them."""
        ranks = self._layout.tensor_parallel
        moved = 2 * self._shape.layers * tokens * self._shape.hidden * BF16_BYTES * 2 * (ranks - 1) / ranks
        return moved / (self._gpu.link_bytes_per_s * LINK_SHARE)

    def predict(
        self, concurrency: float, input_tokens: int, output_tokens: int, capacity: int, cached_tokens: int = 0
    ) -> Prediction:
        """Predicts a closed loop of `concurrency` users at the site; one engine can hold `capacity` requests. The first
        `cached_tokens` of each prompt are in the prefix cache."""
        layout = self._layout
        users = max(1.0, concurrency / layout.replicas)
        running = min(users, max(1, capacity))
        batch = max(1.0, running / self._batches)
        context = input_tokens + output_tokens / 2
        decode_s = self.step_s(batch, context)
        inter_token_s = self._inter_token_s(decode_s, batch, context, input_tokens, output_tokens, cached_tokens)
        inter_token_s /= self._speculation.factor(batch) if self._speculation else 1.0
        ttft_s = self._efficiency.request_s + self.prefill_s(input_tokens, batch - 1, context, cached_tokens)
        ttft_s += decode_s / 2 if running > 1 else 0.0
        per_engine = running * output_tokens / (ttft_s + (output_tokens - 1) * inter_token_s)
        ttft_s += (users - running) * output_tokens / per_engine
        total = per_engine * min(layout.replicas, concurrency)
        return Prediction(
            concurrency=math.ceil(concurrency),
            running=running,
            output_tokens_per_s=total,
            output_tokens_per_s_per_gpu=total / layout.gpus,
            ttft_s=ttft_s,
            inter_token_s=inter_token_s,
        )

    def _inter_token_s(
        self, decode_s: float, batch: float, context: float, prompt: int, output: int, cached: int
    ) -> float:
        """Time between two tokens. For each token that it gives, an engine takes in prompt / output tokens of the next
        request, as far as they are not cached."""
        arriving = (batch - 1) / output  # prompts for each decode step
        fresh = max(1, prompt - cached)
        prompt_tokens = arriving * fresh
        shared = max(min(arriving, 1.0), prompt_tokens / BATCHED_TOKENS)  # steps with prompts in them
        if shared == 0:
            return decode_s
        mixed_s = self.step_s(batch, context, prompt_tokens / shared, cached + min(fresh, BATCHED_TOKENS) / 2)
        return shared * mixed_s + max(0.0, 1 - shared) * decode_s
