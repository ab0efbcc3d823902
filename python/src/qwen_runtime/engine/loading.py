"""Loads a model from a verified directory: nothing is fetched, no code of the checkpoint runs, each choice is reported.

Shards are mapped, not read whole: on a CPU the weights stay in the files' pages where they already have the wanted
dtype, elsewhere one tensor at a time passes through memory.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime import weights
from qwen_runtime.engine import quantization as quantize
from qwen_runtime.errors import HostError, UsageError, WeightsError
from qwen_runtime.sizing import stored

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("bfloat16", "float16", "float32")
ATTENTIONS = ("sdpa", "flash_attention_2", "flash_attention_3", "eager")
_FLASH = {"flash_attention_2": "flash-attn", "flash_attention_3": "flash-attn-3"}
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
FLASH_FROM = {"flash_attention_2": (8, 0), "flash_attention_3": (9, 0)}
"""Compute capability. Source: https://github.com/Dao-AILab/flash-attention#how-to-use-flashattention."""
BF16_FROM = (8, 0)
"""Compute capability of the first NVIDIA GPUs with arithmetic in bfloat16."""


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    model: PreTrainedModel
    """The model in evaluation mode, on one device. Where there are several ranks, this rank's part."""
    tokenizer: PreTrainedTokenizerBase
    choices: tuple[Choice, ...]
    """revision, device, dtype, attention and quantization."""
    weights_bytes: int
    """Bytes of the parameters and buffers in memory; a tied tensor counts once."""
    stored_bytes: int
    """Bytes of the tensors in the checkpoint's files."""


def load(
    model_dir: Path,
    *,
    dtype: str | None,
    attention: str | None = None,
    quantization: str | None = None,
    device: str | None = None,
    tensor_parallel: int = 1,
    expert_parallel: int = 1,
    pipeline_parallel: int = 1,
) -> Loaded:
    """The model of a directory with a manifest, which is checked first (fast).

    dtype: one of DTYPES; attention: one of ATTENTIONS; quantization: one of quantization.METHODS; device: "cpu", "cuda"
    or "cuda:N". A choice that is None is made here. With tensor_parallel or pipeline_parallel above 1 this process is
    one of so many ranks, which torchrun's variables tell apart; each reads its own part. Raises WeightsError,
    UsageError or HostError.
    """
    manifest = weights.verify(model_dir, full=False)
    _import()
    config = read_config(model_dir)
    where = choose_device(device)
    kind = choose_dtype(dtype, config, where.value)
    how = choose_attention(attention, kind.value, where.value)
    recipe, method = quantize.choose(quantization, config, where.value)
    # Among ranks transformers itself takes the device: the CPU, or the GPU whose number is LOCAL_RANK.
    if tensor_parallel * pipeline_parallel > 1:
        placement = _divided(tensor_parallel, expert_parallel, pipeline_parallel)
    else:
        placement = {"device_map": where.value}
    model = _from_pretrained(
        model_dir, dtype=kind.value, attn_implementation=how.value, quantization_config=recipe, **placement
    )
    revision = Choice("revision", manifest.revision, f"the manifest of {model_dir}, whose files were verified")
    stored_bytes = sum(tensor.size_bytes for tensors in manifest.tensors.values() for tensor in tensors.values())
    quantized = Choice("quantization", *method)
    return Loaded(
        model, read_tokenizer(model_dir), (revision, where, kind, how, quantized), size_bytes(model), stored_bytes
    )


def _divided(tensor: int, expert: int, pipeline: int) -> dict[str, Any]:
    from transformers import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_size=tensor, ep_size=expert, pp_size=pipeline)}


def read_config(model_dir: Path) -> dict[str, Any]:
    """config.json, which must name an architecture of this transformers."""
    _import()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path = model_dir / "config.json"
    try:
        config = json.loads(path.read_bytes())
        known = config["model_type"] in CONFIG_MAPPING
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} cannot be used ({error!r})", "the model's configuration", weights.STAGE_AGAIN
        ) from error
    if not known:
        raise UsageError(
            f"{path} has model_type {config['model_type']!r}",
            "an architecture that the installed transformers has itself; a checkpoint's own code is never run",
            "Serve it with another engine, or install a transformers that knows it.",
        )
    stored.refuse_other_files(model_dir, config)
    return dict(config)


def choose_device(wanted: str | None) -> Choice:
    import torch

    default = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted is None and default == "cuda" and "LOCAL_RANK" in os.environ:
        return Choice("device", f"cuda:{os.environ['LOCAL_RANK']}", "this rank's GPU")
    if wanted is None:
        return Choice("device", default, "torch sees a GPU" if default == "cuda" else "torch sees no GPU")
    if wanted != "cpu" and default == "cpu":
        raise HostError(
            f"device {wanted} was asked for and torch {torch.__version__} sees no GPU",
            "a GPU and its driver",
            "Look at nvidia-smi, or load on the CPU.",
        )
    return Choice("device", wanted, "asked for")


def choose_dtype(wanted: str | None, config: dict[str, Any], device: str) -> Choice:
    if wanted is not None and wanted not in DTYPES:
        raise UsageError(f"dtype {wanted}", f"one of {', '.join(DTYPES)}", "Correct it.")
    old = device != "cpu" and capability(device) < BF16_FROM
    stored = config.get("dtype") or config.get("torch_dtype")
    if wanted == "bfloat16" and old:
        raise HostError(
            f"bfloat16 on a GPU of compute capability {_dotted(capability(device))}",
            f"{_dotted(BF16_FROM)} or above, which has arithmetic in bfloat16",
            "Load as float16 or float32.",
        )
    if wanted is not None:
        return Choice("dtype", wanted, "asked for")
    if old and stored != "float32":
        return Choice("dtype", "float16", "the GPU has no arithmetic in bfloat16 (compute capability 8.0 has)")
    if stored in DTYPES:
        return Choice("dtype", stored, "what the checkpoint is stored in, so nothing is converted")
    return Choice("dtype", "bfloat16", "the checkpoint does not say; half the memory of float32")


def choose_attention(wanted: str | None, dtype: str, device: str) -> Choice:
    if wanted is not None and wanted not in ATTENTIONS:
        raise UsageError(f"attention {wanted}", f"one of {', '.join(ATTENTIONS)}", "Correct it.")
    if wanted in _FLASH and (obstacle := _flash_obstacle(wanted, dtype, device)):
        raise HostError(f"attention {wanted} was asked for and {obstacle}", "what it runs on", "Load with sdpa.")
    if wanted is not None:
        return Choice("attention", wanted, "asked for")
    obstacle = None
    for name in reversed(_FLASH):
        obstacle = _flash_obstacle(name, dtype, device)
        if obstacle is None:
            return Choice("attention", name, "the GPU has it and its package is installed")
    return Choice("attention", "sdpa", f"torch's own; no flash attention because {obstacle}")


def _flash_obstacle(name: str, dtype: str, device: str) -> str | None:
    """Why this flash attention does not run; None where it does."""
    from transformers.utils import import_utils

    if device == "cpu":
        return "it needs a GPU"
    if dtype == "float32":
        return "it computes in float16 and bfloat16 only"
    if capability(device) < FLASH_FROM[name]:
        return f"the GPU's compute capability is {_dotted(capability(device))} and not {_dotted(FLASH_FROM[name])}"
    available = {
        "flash_attention_2": import_utils.is_flash_attn_2_available,
        "flash_attention_3": import_utils.is_flash_attn_3_available,
    }[name]
    return None if available() else f"the package {_FLASH[name]} is not installed"


def capability(device: str) -> tuple[int, int]:
    """Compute capability of a CUDA device."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return major, minor


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _from_pretrained(model_dir: Path, **how: Any) -> PreTrainedModel:
    import torch
    import transformers

    how["dtype"] = getattr(torch, how["dtype"])
    try:
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            model_dir, output_loading_info=True, **_LOCAL, **how
        )
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise HostError(
            f"{model_dir} does not fit in memory ({error})",
            "room for the weights and what computes with them",
            "Ask `qwen-runtime plan` what fits, or load it quantized.",
        ) from error
    except (ImportError, ValueError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"transformers {transformers.__version__} cannot load {model_dir} ({error})",
            "a checkpoint that it takes, and the packages that this one needs",
            "Correct what the message names.",
        ) from error
    # transformers fills what a checkpoint lacks with random numbers, and says so in a log line only.
    wrong = [f"{kind} {sorted(map(str, names))[0]}" for kind, names in report.items() if names]
    if wrong:
        raise WeightsError(
            f"{model_dir} and its config.json disagree: {', '.join(wrong)}",
            "exactly the tensors of the architecture",
            weights.STAGE_AGAIN,
        )
    return model


def read_tokenizer(model_dir: Path) -> PreTrainedTokenizerBase:
    _import()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model_dir, **_LOCAL)
    except (ImportError, ValueError, OSError, KeyError) as error:
        raise WeightsError(
            f"{model_dir} has no tokenizer that transformers takes ({error})",
            "tokenizer.json and tokenizer_config.json",
            weights.STAGE_AGAIN,
        ) from error


def size_bytes(model: torch.nn.Module) -> int:
    """Bytes of parameters and buffers; a tied tensor counts once."""
    # Without remove_duplicate=False both iterators give a tied tensor once.
    return sum(quantize.tensor_bytes(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _import() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch  # noqa: F401
        from transformers.utils import logging
    except ImportError as error:
        raise HostError(
            f"cannot import {error.name}",
            "torch and transformers to load a model",
            "Use the runtime image, or install the environment of locks/runtime-cpu.txt.",
        ) from error
    logging.disable_progress_bar()  # the log is read by line
