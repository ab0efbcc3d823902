"""GPUs known by name: the figures that decide whether a model fits and how fast it can be at most.

Rates are dense, without sparsity. `usable_bytes` is what the driver offers to a process (torch's total_memory), a few
per cent below the number on the card. Compute capabilities: https://developer.nvidia.com/cuda-gpus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from qwen_runtime.errors import UsageError
from qwen_runtime.sizing.catalogue import unknown
from qwen_runtime.sizing.shape import Shape
from qwen_runtime.sizing.tensors import BF16_BYTES, FP8_BYTES, FP32_BYTES
from qwen_runtime.units import GIB, GIGA, TERA

_A100 = "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
_H100 = "https://www.nvidia.com/en-us/data-center/h100/"
_H200 = "https://www.nvidia.com/en-us/data-center/h200/"
_H20 = "no public data sheet; as vendors of H20 servers state it"
_B200 = "https://www.nvidia.com/en-us/data-center/dgx-b200/"
_L40S = "https://www.nvidia.com/en-us/data-center/l40s/"
_ADA = "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf"
_MI300X = "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html"
_TORCH = "total capacity in torch's out-of-memory messages"
FP8_FROM = (8, 9)
"""Compute capability of the first NVIDIA GPUs with arithmetic in FP8."""


@dataclass(frozen=True, slots=True)
class Int8:
    """Measured speed of products of weights in INT8."""

    bandwidth_share: float
    """Share of memory's speed at which one token's product reads them."""
    flops: float
    """Operations per second of many tokens' products."""


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    vendor: str
    """nvidia, amd or cpu."""
    usable_bytes: int
    bandwidth_bytes_per_s: float
    bf16_flops: float
    fp8_flops: float | None
    """None where there is no arithmetic in FP8."""
    link_bytes_per_s: float
    """Rate of the link to its neighbours in a host, in one direction."""
    fast_link: bool
    """Whether that link is NVLink or Infinity Fabric rather than PCIe."""
    compute_capability: str
    source: str
    """Source of bandwidth, rates and link."""
    memory_source: str
    also_called: tuple[str, ...] = ()
    """Names that role preflight and nvidia-smi use for it."""
    by_hand: str = ""
    """Needs of hosts with this GPU that no role of this bundle installs."""
    number_bytes: int = BF16_BYTES
    """Bytes of a number in which it computes best what is stored in bf16."""
    int8: Int8 | None = None
    """None where no speed of weights in INT8 was measured: they are not planned there."""
    found: str = ""
    """Features of the very host, where that was asked for them."""

    @property
    def capability(self) -> tuple[int, int]:
        """Compute capability as numbers; (0, 0) for what is not NVIDIA's."""
        numbers = re.fullmatch(r"(\d+)\.(\d+)", self.compute_capability)
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _gpu(
    name: str,
    memory: tuple[float, str],
    bandwidth_gb: float,
    bf16_tera: float,
    fp8_tera: float | None,
    link_gb: float,
    capability: str,
    source: str,
    *,
    vendor: str = "nvidia",
    fast_link: bool = True,
    also_called: tuple[str, ...] = (),
    by_hand: str = "",
    number_bytes: int = BF16_BYTES,
    int8: Int8 | None = None,
) -> Gpu:
    usable_gib, memory_source = memory
    return Gpu(
        name=name,
        vendor=vendor,
        usable_bytes=int(usable_gib * GIB),
        bandwidth_bytes_per_s=bandwidth_gb * GIGA,
        bf16_flops=bf16_tera * TERA,
        fp8_flops=fp8_tera * TERA if fp8_tera else None,
        link_bytes_per_s=link_gb * GIGA,
        fast_link=fast_link,
        compute_capability=capability,
        source=source,
        memory_source=memory_source,
        also_called=also_called,
        by_hand=by_hand,
        number_bytes=number_bytes,
        int8=int8,
    )


THIS_HOST = "host"
"""Name by which the host itself is planned, where it has no GPU."""
FLOAT32_CPU = "cpu-float32"
"""Name of hosts without a GPU whose processors have no instructions for bf16."""
_ROCM = "ROCm: no role, image or device plugin of this bundle has it, and its stack asks for nvidia.com/gpu alone"
_NVLINK_5 = "the NVLink Subnet Manager (package nvlsm) and the module ib_umad for its NVSwitches"

GPUS = (
    _gpu("a100-40gb", (39.39, _TORCH), 1555, 312, None, 300, "8.0", _A100,
         also_called=("A100-SXM4-40GB",)),
    _gpu("a100-80gb", (79.15, _TORCH), 2039, 312, None, 300, "8.0", _A100,
         also_called=("A100-SXM4-80GB",)),
    _gpu("h100-80gb", (79.11, "https://github.com/vllm-project/vllm/issues/27508"), 3350, 989, 1979, 450, "9.0", _H100,
         also_called=("H100-SXM", "H100 80GB HBM3")),
    _gpu("h200-141gb", (139.8, "https://github.com/vllm-project/recipes/pull/12"), 4800, 989, 1979, 450, "9.0", _H200,
         also_called=("H200-SXM",)),
    _gpu("h20-96gb", (95.0, _TORCH), 4000, 148, 296, 450, "9.0", _H20),
    _gpu("h20-141gb", (139.8, "https://github.com/vllm-project/recipes/pull/12"), 4800, 148, 296, 450, "9.0", _H20),
    _gpu("b200-180gb", (178.3, "https://github.com/NVIDIA/TensorRT-LLM/issues/10278, less the driver's own part"),
         8000, 2250, 4500, 900, "10.0", _B200, by_hand=_NVLINK_5),
    _gpu("l40s-48gb", (44.39, _TORCH), 864, 362, 733, 32, "8.9", _L40S, fast_link=False),
    _gpu("rtx4090-24gb", (23.52, "https://github.com/Soul-AILab/SoulX-FlashTalk/issues/5"), 1008, 165, 330, 32, "8.9",
         _ADA, fast_link=False),
    _gpu("mi300x-192gb", (191.9, "rocm-smi's total"), 5300, 1307, 2615, 448, "gfx942", _MI300X, vendor="amd",
         by_hand=_ROCM),
    # A host without a GPU: what was measured on two virtual cores with AVX-512 and its bf16 instructions; --memory-gib
    # says how much memory the server may have.
    _gpu("cpu", (16, "an assumption: give --memory-gib"), 33, 0.341, None, 33, "none",
         "measured: stream 33 GB/s, bf16 matrix product 341 GFLOP/s", vendor="cpu", fast_link=False,
         int8=Int8(0.52, 650e9)),
    # The same without such instructions, where bf16 gave 1.8 tokens/s at one stream and no more than 2.4 at eight. The
    # rates are those at which the three figures below follow: all weights once a step, then two operations a parameter.
    _gpu(FLOAT32_CPU, (16, "an assumption: give --memory-gib"), 9.5, 0.13, None, 9.5, "none",
         "measured: two virtual cores with AVX2 alone gave Qwen2.5-Coder-1.5B in float32 1.3 tokens/s at one stream, "
         "7.1 at 8 and 16.7 at 32", vendor="cpu", fast_link=False, number_bytes=FP32_BYTES),
)  # fmt: skip


def get(name: str) -> Gpu:
    """The GPU of a name: its own, its own without the memory where one fits (`h200`), or another tool's name for it."""
    plain = _plain(name).removeprefix("nvidia")
    if exact := next((gpu for gpu in GPUS if plain == _plain(gpu.name)), None):
        return exact
    matches = [gpu for gpu in GPUS if plain in map(_plain, (gpu.name.partition("-")[0], *gpu.also_called))]
    if len(matches) > 1:
        names = " or ".join(gpu.name for gpu in matches)
        raise UsageError(f"GPU {name!r} comes in two sizes", names, "Give --gpu the one that the hosts have.")
    if not matches:
        raise unknown("GPU", name, [gpu.name for gpu in GPUS], "of GPUs", "--list-gpus")
    return matches[0]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def weight_only(shape: Shape, gpu: Gpu) -> bool:
    """Whether FP8 saves memory on this GPU but no arithmetic."""
    return bool(shape.fp8_block) and gpu.vendor == "nvidia" and gpu.capability < FP8_FROM


def as_computed(shape: Shape, gpu: Gpu) -> Shape:
    """The shape with numbers as wide as this hardware computes them. FP8 stays, and is refused where it cannot be."""
    if shape.fp8_block or shape.mxfp4 or gpu.number_bytes == shape.computed_bytes:
        return shape
    cached_bytes = FP8_BYTES if shape.kv_number_bytes == FP8_BYTES else gpu.number_bytes
    return replace(shape, computed_bytes=gpu.number_bytes, kv_number_bytes=cached_bytes)


def dtype_reason(gpu: Gpu) -> str:
    """The reason for the form of numbers in which a model stored in bf16 computes."""
    if gpu.found:
        return f"this host has {gpu.found}: " + dtype_reason(replace(gpu, found=""))
    if gpu.vendor == "cpu" and gpu.number_bytes == BF16_BYTES:
        return "what the model was trained in; half the bytes of float32, which bound one user's speed"
    if gpu.number_bytes == FP32_BYTES:
        return "processors without instructions for bf16 gain nothing from batching in it; twice the memory"
    return "what the model was trained in; every GPU here computes in it"


def attention(gpu: Gpu) -> tuple[str, str]:
    """The implementation of attention, and the reason for it."""
    if gpu.vendor == "cpu":
        return "sdpa", "flash attention needs a GPU"
    if gpu.vendor == "amd":
        return "sdpa", "flash attention is a separate build for ROCm; vLLM brings its own kernels"
    return "flash_attention_2", f"compute capability {gpu.compute_capability} has it (from 8.0 on)"
