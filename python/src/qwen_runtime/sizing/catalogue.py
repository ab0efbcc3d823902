"""Models known by name: the numbers of their published config.json, and reading one from a directory.

Source of each entry: config.json of the repository of that name (https://huggingface.co/Qwen, HuggingFaceTB, zai-org,
deepseek-ai, openai, MiniMaxAI and mistralai there).
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.names import full_name
from qwen_runtime.sizing import families, published, shards, stored
from qwen_runtime.sizing.configs import from_config
from qwen_runtime.sizing.shape import Shape

FP8_SUFFIX = "-FP8"
FP8_BLOCK = 128

_QWEN3_MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 262144,
    "num_experts_per_tok": 8,
    "tie_word_embeddings": False,
}
_QWEN3_CODER_480B = _QWEN3_MOE | {
    "num_hidden_layers": 62,
    "hidden_size": 6144,
    "num_attention_heads": 96,
    "num_key_value_heads": 8,
    "intermediate_size": 8192,
    "num_experts": 160,
    "moe_intermediate_size": 2560,
}
_QWEN3_CODER_30B = _QWEN3_MOE | {
    "num_hidden_layers": 48,
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "intermediate_size": 5472,
    "num_experts": 128,
    "moe_intermediate_size": 768,
}


_QWEN3_NEXT: dict[str, Any] = {
    "model_type": "qwen3_next",
    "num_hidden_layers": 48,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "intermediate_size": 5120,
    "vocab_size": 151936,
    "max_position_embeddings": 262144,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "tie_word_embeddings": False,
}
_DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [FP8_BLOCK, FP8_BLOCK]},
}


def _glm(layers: int, hidden: int, experts: int, width: int, dense: tuple[int, int], context: int) -> dict[str, Any]:
    """dense: the number of dense layers, and their width."""
    return {
        "model_type": "glm4_moe",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": 96,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": dense[1],
        "vocab_size": 151552,
        "max_position_embeddings": context,
        "attention_bias": True,
        "use_qk_norm": hidden == 5120,
        "n_routed_experts": experts,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": width,
        "first_k_dense_replace": dense[0],
        "tie_word_embeddings": False,
    }


def _gpt_oss(layers: int, experts: int) -> dict[str, Any]:
    return {
        "model_type": "gpt_oss",
        "num_hidden_layers": layers,
        "hidden_size": 2880,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "intermediate_size": 2880,
        "vocab_size": 201088,
        "max_position_embeddings": 131072,
        "num_local_experts": experts,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "mxfp4"},
    }


def _qwen25(layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": hidden < 3000,
    }


_CONFIGS: dict[str, dict[str, Any]] = {
    "Qwen3-Coder-480B-A35B-Instruct": _QWEN3_CODER_480B,
    "Qwen3-Coder-30B-A3B-Instruct": _QWEN3_CODER_30B,
    "Qwen2.5-Coder-0.5B-Instruct": _qwen25(24, 896, 14, 2, 4864, 151936),
    "Qwen2.5-Coder-1.5B-Instruct": _qwen25(28, 1536, 12, 2, 8960, 151936),
    "Qwen2.5-Coder-3B-Instruct": _qwen25(36, 2048, 16, 2, 11008, 151936),
    "Qwen2.5-Coder-7B-Instruct": _qwen25(28, 3584, 28, 4, 18944, 152064),
    "Qwen2.5-Coder-14B-Instruct": _qwen25(48, 5120, 40, 8, 13824, 152064),
    "Qwen2.5-Coder-32B-Instruct": _qwen25(64, 5120, 40, 8, 27648, 152064),
    "Qwen3-Coder-Next": _QWEN3_NEXT,
    "Qwen3-Next-80B-A3B-Instruct": _QWEN3_NEXT,
    "GLM-4.6": _glm(92, 5120, 160, 1536, (3, 12288), 202752),
    "GLM-4.5-Air": _glm(46, 4096, 128, 1408, (1, 10944), 131072),
    "DeepSeek-V3": _DEEPSEEK_V3,
    "DeepSeek-R1": _DEEPSEEK_V3,
    "gpt-oss-120b": _gpt_oss(36, 128),
    "gpt-oss-20b": _gpt_oss(24, 32),
    "MiniMax-M2": {
        "model_type": "minimax_m2",
        "num_hidden_layers": 62,
        "hidden_size": 3072,
        "num_attention_heads": 48,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 1536,
        "vocab_size": 200064,
        "max_position_embeddings": 196608,
        "num_local_experts": 256,
        "num_experts_per_tok": 8,
        "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [FP8_BLOCK, FP8_BLOCK]},
    },
    "Devstral-Small-2507": {
        "model_type": "mistral",
        "num_hidden_layers": 40,
        "hidden_size": 5120,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 32768,
        "vocab_size": 131072,
        "max_position_embeddings": 131072,
        "sliding_window": None,
        "tie_word_embeddings": False,
    },
    "SmolLM2-135M-Instruct": {
        "model_type": "llama",
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
}
_WITH_FP8 = (
    "Qwen3-Coder-480B-A35B-Instruct",
    "Qwen3-Coder-30B-A3B-Instruct",
    "Qwen3-Coder-Next",
    "Qwen3-Next-80B-A3B-Instruct",
)


def config(name: str) -> dict[str, Any]:
    """The numbers of the config.json of a catalogue name, with the architecture that engines find the family by."""
    published_config = _CONFIGS[name]
    return {"architectures": [families.PLANNED[published_config["model_type"]].architecture], **published_config}


@cache
def known() -> dict[str, Shape]:
    """Every catalogue entry by its name; models that are published in FP8 too have an entry for each."""
    shapes: dict[str, Shape] = {}
    for name, config in _CONFIGS.items():
        shape = from_config(name, config, f"the catalogue's {name}")
        shapes[name] = shape
        if name in _WITH_FP8:
            shapes[name + FP8_SUFFIX] = replace(shape, name=name + FP8_SUFFIX, fp8_block=FP8_BLOCK)
    return shapes


def find(name: str) -> Shape | None:
    """A catalogue entry whatever the case of the name, with or without `Qwen/` before it, or by its short name."""
    plain = full_name(name.lower()).rpartition("/")[2]
    return next((shape for key, shape in known().items() if key.lower() == plain), None)


def get(name: str) -> Shape:
    """The model of a catalogue name, or of the directory at that path. Raises UsageError."""
    shape = find(name)
    if shape is not None:
        return shape
    if Path(name).is_dir():
        return read(Path(name))
    raise unknown(
        "model", name, list(known()), "or the path of a directory with a config.json", "`qwen-runtime models`"
    )


def unknown(kind: str, name: str, names: list[str], otherwise: str, flag: str) -> UsageError:
    lower = {known_name.lower(): known_name for known_name in names}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)]
    nearest = f"the closest names are {', '.join(close)}" if close else f"the names are {', '.join(names)}"
    return UsageError(
        f"{kind} {name!r} is not known", f"a name of the catalogue {otherwise}", f"See {flag}; {nearest}."
    )


def twin(shape: Shape, quantization: str) -> Shape | None:
    """The published checkpoint of the same model in bf16 or fp8."""
    base = shape.name.removesuffix(FP8_SUFFIX)
    return known().get(base + FP8_SUFFIX if quantization == "fp8" else base)


def read(directory: Path) -> Shape:
    """The model of a directory: its config.json, held against its shards and their index. Raises UsageError."""
    config_path = directory / "config.json"
    config = published.read_object(config_path)
    stored.refuse_other_files(directory, config)
    shape = from_config(directory.resolve().name, config, str(config_path))
    return shards.compare(replace(shape, chat_template=published.chat_template(directory)), directory)
