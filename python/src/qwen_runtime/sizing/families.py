"""Families of models by the model_type of their config.json: the planned ones, and why others are not.

Source: the modelling code of transformers 5.19 (https://github.com/huggingface/transformers/tree/main/src/transformers/models).
"""

from __future__ import annotations

PLANNED = {
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "llama": "LlamaForCausalLM",
}
_LINEAR = "three of four layers have linear attention, with a state of fixed size instead of a KV cache"
_LATENT = "latent attention caches one compressed vector for each token instead of keys and values for each head"
_SHARED = "its first layers are dense, and the others have shared experts beside the routed ones"
_WINDOWS = "most layers attend to a window of the context only, so that their KV cache does not grow with it"
_MAMBA = "most layers are Mamba's, with a state of fixed size instead of a KV cache"
_UNCOUNTED = "its sizes have not been held against a published checkpoint"
NOT_PLANNED = {
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"), _LINEAR),
    **dict.fromkeys(("deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_k25", "glm_moe_dsa", "glm4_moe_lite"), _LATENT),
    **dict.fromkeys(("glm4_moe", "ernie4_5_moe"), _SHARED),
    **dict.fromkeys(("gemma3", "gemma3_text", "cohere2", "olmo3"), _WINDOWS),
    **dict.fromkeys(("nemotron_h", "granitemoehybrid"), _MAMBA),
    **dict.fromkeys(("mistral", "mistral3", "ministral3", "seed_oss"), _UNCOUNTED),
    "gpt_oss": "its experts are stored in MXFP4, and every other layer attends to a window of the context only",
    "llama4": "most layers attend to chunks of the context only, and a shared expert stands beside the routed ones",
    "minimax_m2": "the norms of its queries and keys go over all heads at once, and its routers have biases",
    "phi3": "its projections of queries, keys and values are one matrix, as are those of its MLP",
}


def reason(model_types: tuple[object, ...]) -> str:
    """The reason why the first known one of these is not planned; empty where none is known here."""
    return next((NOT_PLANNED[name] for name in model_types if isinstance(name, str) and name in NOT_PLANNED), "")
