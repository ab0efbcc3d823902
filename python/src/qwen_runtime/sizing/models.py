"""The numbers of published models' config.json, by the name of the model.

Source of each entry: config.json of the repository of that name (https://huggingface.co/Qwen, HuggingFaceTB, zai-org,
deepseek-ai, openai, MiniMaxAI and mistralai there).
"""

from __future__ import annotations

from typing import Any

FP8_BLOCK = 128
"""Edge of the blocks in which these publishers store FP8."""

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


def _qwen35(layers: int, hidden: int, heads: tuple[int, int, int], width: dict[str, int]) -> dict[str, Any]:
    """heads: of queries, of keys and values, and of values in linear attention. width: sizes of the MLP or experts."""
    kind = "qwen3_5_moe" if "num_experts" in width else "qwen3_5"
    text = {
        "model_type": f"{kind}_text",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "head_dim": 256,
        "vocab_size": 248320,
        "max_position_embeddings": 262144,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": heads[2],
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4,
        "mamba_ssm_dtype": "float32",
        **width,
    }
    encoder = {"model_type": kind, "out_hidden_size": hidden}  # its other sizes are transformers' defaults
    return {"model_type": kind, "text_config": text, "vision_config": encoder, "tie_word_embeddings": False}


def _experts(number: int, chosen: int, width: int) -> dict[str, int]:
    return {
        "num_experts": number,
        "num_experts_per_tok": chosen,
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": width,
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


CONFIGS: dict[str, dict[str, Any]] = {
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
    "Qwen3.5-397B-A17B": _qwen35(60, 4096, (32, 2, 64), _experts(512, 10, 1024)),
    "Qwen3.5-122B-A10B": _qwen35(48, 3072, (32, 2, 64), _experts(256, 8, 1024)),
    "Qwen3.5-35B-A3B": _qwen35(40, 2048, (16, 2, 32), _experts(256, 8, 512)),
    "Qwen3.5-27B": _qwen35(64, 5120, (24, 4, 48), {"intermediate_size": 17408}),
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
WITH_FP8 = (
    "Qwen3-Coder-480B-A35B-Instruct",
    "Qwen3-Coder-30B-A3B-Instruct",
    "Qwen3-Coder-Next",
    "Qwen3-Next-80B-A3B-Instruct",
    "Qwen3.5-397B-A17B",
    "Qwen3.5-122B-A10B",
    "Qwen3.5-35B-A3B",
    "Qwen3.5-27B",
)
"""Models that are published in FP8 too."""
