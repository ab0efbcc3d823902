"""Makes weights smaller while they are loaded: the methods, their needs, and why one is refused here.

docs/quantization.md has measurements of what each costs in memory, speed and quality.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwen_runtime.errors import HostError, UsageError
from qwen_runtime.sizing import stored
from qwen_runtime.sizing.configs import is_mixture
from qwen_runtime.sizing.gpus import FP8_FROM

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Method:
    package: str
    """Distribution that must be installed."""
    summary: str
    recipe: Callable[[], Any]
    """Makes transformers' quantization_config."""
    float8: bool = False
    """Needs a GPU with arithmetic in FP8."""
    experts: bool = False
    """Takes the fused experts of a mixture too, not only linear layers."""


def _torchao_int8() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


def _bitsandbytes_int8() -> Any:
    from transformers import BitsAndBytesConfig

    # bitsandbytes logs in every layer of every step that inputs become float16 for the product.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return BitsAndBytesConfig(load_in_8bit=True)


def _float8() -> Any:
    from transformers import FineGrainedFP8Config

    return FineGrainedFP8Config()


METHODS = {
    "int8": Method("torchao", "weights in int8 with a scale a row, arithmetic in dtype", _torchao_int8),
    "bitsandbytes-8bit": Method("bitsandbytes", "Linear8bitLt: int8, outliers in dtype", _bitsandbytes_int8),
    "float8": Method("transformers", "weights in FP8 in blocks of 128 x 128", _float8, float8=True, experts=True),
}


def choose(name: str | None, config: dict[str, Any], device: str) -> tuple[Any, tuple[str, str]]:
    """transformers' quantization_config (None: leave it as it is), and the choice with its reason."""
    form = stored.stated(config, "config.json")
    if form is not None:
        return None, _stored(name, *form, device)
    if name is None:
        return None, ("none", "not asked for")
    if name not in METHODS:
        raise UsageError(f"quantization {name}", f"one of {', '.join(METHODS)}", "Correct it, or leave it out.")
    method = METHODS[name]
    if is_mixture(config) and not method.experts:
        raise UsageError(
            f"quantization {name} of a mixture of experts",
            "linear layers: it leaves fused experts, nearly all weights of such a model, as they are",
            "Load the model's checkpoint in FP8 on GPUs that have it, or leave quantization out.",
        )
    try:
        version = importlib.metadata.version(method.package)
    except importlib.metadata.PackageNotFoundError:
        raise HostError(
            f"quantization {name} was asked for and {method.package} is not installed",
            f"the package {method.package}",
            "Install it, use the runtime image, which has it, or load without quantization.",
        ) from None
    if method.float8:
        _check_float8(f"quantization {name}", device)
    return method.recipe(), (name, f"asked for; {method.summary} ({method.package} {version})")


def _stored(name: str | None, key: str, form: Mapping[str, Any], device: str) -> tuple[str, str]:
    """A checkpoint that is quantized already is loaded as it is, where that is possible."""
    kind = str(form.get("quant_method"))
    if key != stored.KEYS[0]:
        raise UsageError(
            f"config.json has {key} with quant_method {kind!r}",
            f"{stored.KEYS[0]}, the key that transformers reads",
            "Serve it with engine vllm.",
        )
    if name is not None:
        raise UsageError(
            f"quantization {name} of a checkpoint that is quantized already ({kind})",
            "a checkpoint in bfloat16, float16 or float32",
            "Leave quantization out, or load the checkpoint that it was made from.",
        )
    if kind == "fp8":
        # transformers would unpack it to bfloat16, which takes twice the planned memory.
        _check_float8("a checkpoint in FP8", device)
    return kind, "the checkpoint is stored so"


def _check_float8(what: str, device: str) -> None:
    import torch

    unfit = "a CPU" if device == "cpu" else None
    if device != "cpu" and torch.version.cuda and (have := torch.cuda.get_device_capability(device)) < FP8_FROM:
        unfit = f"a GPU of compute capability {have[0]}.{have[1]}"
    if unfit:
        raise HostError(
            f"{what} on {unfit}",
            f"a GPU with arithmetic in FP8: compute capability {FP8_FROM[0]}.{FP8_FROM[1]} or above (H100, L40S)",
            "Load a checkpoint in bfloat16, with quantization int8 if memory is short.",
        )


def tensor_bytes(tensor: torch.Tensor) -> int:
    """Memory of a tensor: of all parts where it wraps several (torchao's), and with the scales of bitsandbytes.

    Where a tensor is divided over ranks, it is this rank's part.
    """
    import torch
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    if is_traceable_wrapper_subclass(tensor):
        parts = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        return sum(tensor_bytes(part) for part in parts if isinstance(part, torch.Tensor))
    size_bytes: int = tensor.numel() * tensor.element_size()
    scales = getattr(tensor, "SCB", None)
    return size_bytes if scales is None else size_bytes + tensor_bytes(scales)
