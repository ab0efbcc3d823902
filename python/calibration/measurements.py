"""Published measurements that the predictions are held against; `fit` marks those that the constants come from.

Each row is as its source gives it: concurrency and token counts are the averages that the benchmark reports, so that
a run of "16 users" with 13.76 in flight is predicted for 13.76.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qwen_runtime.sizing import catalogue
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.memory import MAX_SEQUENCES
from qwen_runtime.sizing.shape import Shape

_SGLANG = "https://docs.sglang.io/cookbook/autoregressive/Qwen/Qwen3-Coder.md"
_QWEN = "https://qwen.readthedocs.io/en/stable/getting_started/speed_benchmark.html"
_GPUSTACK = "https://docs.gpustack.ai/latest/performance-lab/"
_HERE = "this bundle, on two cores"  # of its prompts only that they were short is recorded: 40 tokens are assumed


@dataclass(frozen=True, slots=True)
class Measurement:
    name: str
    model: str
    gpu: str
    layout: Layout
    concurrency: float
    input_tokens: int
    output_tokens: int
    source: str
    inter_token_s: float | None = None
    """Mean time per output token after the first."""
    ttft_s: float | None = None
    """Median time to the first token."""
    output_tokens_per_s: float | None = None
    fit: bool = False
    most_sequences: int = MAX_SEQUENCES
    """Requests that the engine ran at once at most."""
    varied: bool = False
    """Whether answers differ in length, all requests come at once, and the run ends with the longest answer."""
    memory_gb_s: float | None = None
    """Speed of memory that was measured beside it, on a host without a GPU; None: the catalogue's."""


def shape_of(name: str) -> Shape:
    """The catalogue's models, and others that appear only in measurements."""
    return catalogue.find(name) or OTHERS[name]


def _qwen3(name: str, layers: int, hidden: int, heads: int, intermediate: int, *, tied: bool = False) -> Shape:
    return Shape(name, "qwen3", layers, hidden, heads, 8, 128, 151936, 40960, intermediate, tied)


_QWEN3_30B = replace(catalogue.known()["Qwen3-Coder-30B-A3B-Instruct"], name="Qwen3-30B-A3B")
_QWEN3_235B = Shape(
    "Qwen3-235B-A22B", "qwen3_moe", 94, 4096, 64, 4, 128, 151936, 40960, 12288, False, 128, 8, 1536
)  # fmt: skip
_BF16 = (
    _qwen3("Qwen3-0.6B", 28, 1024, 16, 3072, tied=True),
    _qwen3("Qwen3-8B", 36, 4096, 32, 12288),
    _qwen3("Qwen3-14B", 40, 5120, 40, 17408),
    _qwen3("Qwen3-32B", 64, 5120, 64, 25600),
    _QWEN3_30B,
    _QWEN3_235B,
    Shape("Llama-3-8B", "llama", 32, 4096, 32, 8, 128, 128256, 8192, 14336, False),
)
OTHERS = {shape.name: shape for shape in _BF16} | {
    f"{shape.name}-FP8": replace(shape, name=f"{shape.name}-FP8", fp8_block=128) for shape in _BF16
}
_CODER = "Qwen3-Coder-480B-A35B-Instruct-FP8"
_TP8_EP2 = Layout(8, expert_parallel=8)  # SGLang's EP2 keeps the blocks whole; the bytes of a rank are the same
_TP4_EP4, _TP8_EP8 = Layout(4, expert_parallel=4), Layout(8, expert_parallel=8)
_ONE, _FOUR, _EIGHT = Layout(1), Layout(4), Layout(8)


def _coder(gpu: str, users: float, tokens: tuple[int, int], tpot_ms: float, ttft_ms: float, rate: float, *,
           fit: bool = False) -> Measurement:  # fmt: skip
    name = f"SGLang, 8 x {gpu}, TP8 EP2"
    return Measurement(
        name, _CODER, gpu, _TP8_EP2, users, *tokens, _SGLANG, tpot_ms / 1e3, ttft_ms / 1e3, rate, fit=fit
    )


def _single(model: str, layout: Layout, rate: float, *, fit: bool = False) -> Measurement:
    """A stream of 2,048 tokens on H20 96 GB; the source states tokens per second."""
    return Measurement(
        f"SGLang, {layout.gpus} x h20-96gb, {layout.name}", model, "h20-96gb", layout, 1, 1, 2048, _QWEN, 1 / rate,
        fit=fit,
    )  # fmt: skip


def _qwen3_8b(users: int, tpot_ms: float, ttft_ms: float, rate: float, *, fit: bool = False) -> Measurement:
    return Measurement(
        "vLLM 0.11, 1 x h100-80gb", "Qwen3-8B", "h100-80gb", _ONE, users, 233, 221, _GPUSTACK + "qwen3-8b/h100-latency",
        tpot_ms / 1e3, ttft_ms / 1e3, rate, fit=fit,
    )  # fmt: skip


def _flood(model: str, gpu: str, layout: Layout, users: int, tokens: tuple[int, int], rate: float, *, page: str,
           fit: bool = False, varied: bool = False) -> Measurement:  # fmt: skip
    """All requests at once: only the rate of the whole run says something of the engine. vLLM runs up to 1,024 on GPUs
    from 70 GiB on, except on A100, where it is 256 (its own defaults)."""
    return Measurement(
        f"vLLM 0.11, {layout.gpus} x {gpu}, {layout.name}", model, gpu, layout, users, *tokens, _GPUSTACK + page,
        output_tokens_per_s=rate, fit=fit, most_sequences=256 if gpu.startswith("a100") else 1024,
        varied=varied,
    )  # fmt: skip


def _next(gpu: str, layout: Layout, users: int, rate: float, pull: str, *, fit: bool = False) -> Measurement:
    """A closed loop of Qwen3-Next-80B in bf16, with tuned kernels for its experts."""
    return Measurement(
        f"SGLang, {layout.gpus} x {gpu}, {layout.name}", "Qwen3-Next-80B-A3B-Instruct", gpu, layout, users, 1000, 2000,
        f"https://github.com/sgl-project/sglang/pull/{pull}", output_tokens_per_s=rate, fit=fit,
    )  # fmt: skip


_P235, _P14, _P32 = "qwen3-235b-a22b/", "qwen3-14b/", "qwen3-32b/"
MEASUREMENTS = (
    _coder("b200-180gb", 1, (610, 422), 9.87, 112.7, 98.88, fit=True),
    _coder("b200-180gb", 13.93, (496, 510), 20.77, 121.6, 671.1),
    _coder("b200-180gb", 57.93, (497, 532), 33.76, 129.8, 1700, fit=True),
    _coder("mi300x-192gb", 1, (610, 422), 17.06, 126.1, 57.19, fit=True),
    _coder("mi300x-192gb", 13.76, (496, 510), 29.41, 157.5, 468.8),
    _coder("mi300x-192gb", 58.88, (497, 532), 62.98, 181.7, 956.8),
    _qwen3_8b(1, 7.28, 60.4, 132.9, fit=True),
    _qwen3_8b(2, 7.37, 64.8, 257.2),
    _qwen3_8b(4, 7.38, 60.3, 496.9),
    _qwen3_8b(8, 7.71, 60.8, 917.3),
    _single("Qwen3-0.6B", _ONE, 414.17, fit=True),
    _single("Qwen3-8B", _ONE, 81.73, fit=True),
    _single("Qwen3-8B-FP8", _ONE, 150.25),
    _single("Qwen3-32B", _ONE, 20.72),
    _single("Qwen3-30B-A3B", _ONE, 137.18, fit=True),
    _single("Qwen3-30B-A3B-FP8", _ONE, 155.55),
    _single("Qwen3-235B-A22B", _EIGHT, 74.50),
    _single("Qwen3-235B-A22B-FP8", _FOUR, 71.65),
    _flood("Qwen3-235B-A22B", "h100-80gb", _EIGHT, 500, (3996, 184), 931.2, page=_P235 + "h100", fit=True),
    _flood("Qwen3-235B-A22B", "h100-80gb", _EIGHT, 500, (1996, 99), 1127, page=_P235 + "h100"),
    _flood("Qwen3-235B-A22B", "h100-80gb", _EIGHT, 100, (32000, 82), 57.85, page=_P235 + "h100"),
    _flood("Qwen3-235B-A22B-FP8", "h100-80gb", _FOUR, 500, (3996, 182), 717.6, page=_P235 + "h100", fit=True),
    _flood("Qwen3-235B-A22B-FP8", "h100-80gb", _FOUR, 500, (1996, 99), 894.8, page=_P235 + "h100"),
    _flood("Qwen3-235B-A22B", "h100-80gb", _EIGHT, 984, (216, 197), 4015.36, varied=True, page=_P235 + "h100"),
    _flood("Qwen3-235B-A22B-FP8", "h100-80gb", _FOUR, 984, (216, 198), 3592.57, varied=True, page=_P235 + "h100"),
    _flood("Qwen3-235B-A22B-FP8", "h100-80gb", _TP4_EP4, 984, (218, 196), 3376.99, varied=True, page=_P235 + "h100",
           fit=True),
    _flood("Qwen3-235B-A22B-FP8", "h100-80gb", _TP8_EP8, 984, (215, 195), 3856.59, varied=True, page=_P235 + "h100"),
    _flood("Qwen3-235B-A22B-FP8", "a100-80gb", _FOUR, 1000, (217, 195), 1428, varied=True, page=_P235 + "a100"),
    _flood("Qwen3-14B", "h100-80gb", _ONE, 500, (3996, 200), 438.6, page=_P14 + "h100", fit=True),
    _flood("Qwen3-14B", "h100-80gb", _ONE, 500, (1996, 100), 505.5, page=_P14 + "h100"),
    _flood("Qwen3-14B", "a100-80gb", _ONE, 500, (3996, 200), 245.13, page=_P14 + "a100", fit=True),
    _flood("Qwen3-14B", "a100-80gb", _ONE, 500, (1996, 100), 284.64, page=_P14 + "a100"),
    _flood("Qwen3-14B", "a100-80gb", _ONE, 100, (32000, 99), 13.65, page=_P14 + "a100"),
    _flood("Qwen3-32B", "h100-80gb", _ONE, 500, (1996, 100), 152.4, page=_P32 + "h100"),
    _flood("Qwen3-32B", "a100-80gb", _ONE, 500, (1996, 100), 120.3, page=_P32 + "a100"),
    _next("h200-141gb", Layout(2), 8, 937.94, "10404"),
    _next("h200-141gb", _FOUR, 8, 1137.94, "10404", fit=True),
    _next("h200-141gb", _EIGHT, 8, 1239.43, "10404"),
    _next("h20-96gb", _FOUR, 32, 2233.44, "10467"),
    _next("h20-96gb", _EIGHT, 32, 2704.56, "10467"),
    Measurement(
        "vLLM 0.32, cpu", "SmolLM2-135M-Instruct", "cpu", _ONE, 1, 40, 64, _HERE, 1 / 65, fit=True
    ),
    Measurement(
        "vLLM 0.32, cpu", "SmolLM2-135M-Instruct", "cpu", _ONE, 16, 40, 64, _HERE, output_tokens_per_s=435
    ),
    Measurement("vLLM 0.32, cpu", "Qwen2.5-Coder-1.5B-Instruct", "cpu", _ONE, 1, 40, 64, _HERE, 1 / 9),
    *(
        Measurement("vLLM 0.32, cpu with 19.8 GB/s", "Qwen2.5-Coder-1.5B-Instruct", "cpu", _ONE, streams, 84, 64, _HERE,
                    output_tokens_per_s=rate, memory_gb_s=19.8)
        for streams, rate in ((1, 4.84), (8, 29.14), (32, 40.53))
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemoryAccount:
    """vLLM's own account of the memory of one GPU, in GiB. A number that it did not print is None."""

    name: str
    model: str
    gpu: str
    layout: Layout
    utilization: float
    source: str
    weights_gib: float | None = None
    headroom_gib: float | None = None
    """Everything but weights and KV cache that it counted; CUDA graphs were not counted in these versions."""
    kv_gib: float | None = None


_DP8 = Layout(1, 1, 8, 8)
_PR12, _PR10511 = "https://github.com/vllm-project/recipes/pull/12", "https://github.com/vllm-project/vllm/pull/10511"
MEMORY_ACCOUNTS = (
    MemoryAccount("DP8 EP8, 0.90", _CODER, "h20-141gb", _DP8, 0.90, _PR12, kv_gib=48.66),
    MemoryAccount("DP8 EP8, 0.95", _CODER, "h20-141gb", _DP8, 0.95, _PR12, kv_gib=55.65),
    MemoryAccount("TP1", "Llama-3-8B", "h100-80gb", _ONE, 0.90, _PR10511, 14.96, 3.05, 53.29),
    MemoryAccount("TP2", "Llama-3-8B", "h100-80gb", Layout(2), 0.90, _PR10511, 7.48, 4.84),
    MemoryAccount("TP4", "Qwen3-30B-A3B", "a100-80gb", _FOUR, 0.90,
                  "https://github.com/vllm-project/vllm/issues/17469", 14.2474),
)  # fmt: skip
