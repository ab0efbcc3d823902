"""Families of models by the model_type of their config.json: the planned ones, and why others are not.

Source: the modelling code of transformers 5.19 (https://github.com/huggingface/transformers/tree/main/src/transformers/models).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Traits that all models of a family share; sizes are each model's own."""

    architecture: str
    mixture: bool = False
    """Whether it has experts."""
    qk_norm: str = ""
    """Norms of queries and keys: "head" for each head, "all" over all heads at once."""
    qkv_bias: bool = False
    """Whether q, k and v have biases, whatever config.json says."""
    output_bias: bool = True
    """Whether the projection after them has one too, where they have."""
    gated_attention: bool = False
    """Whether queries bring a gate for the output of attention."""
    sinks: bool = False
    """Whether each head has a learned attention sink."""
    router_bias_bytes: int = 0
    """Bytes of a number of the router's correction for each expert; 0 without one."""
    expert_bias: bool = False
    shared_gate: bool = False
    """Whether a gate stands before the shared expert."""
    linear: bool = False
    """Whether most layers have linear attention by the gated delta rule."""
    sees: bool = False
    """Whether an encoder of images stands beside the published models, which engines can leave out."""


PLANNED = {
    "qwen3_moe": Family("Qwen3MoeForCausalLM", mixture=True, qk_norm="head"),
    "qwen3_next": Family(
        "Qwen3NextForCausalLM", mixture=True, qk_norm="head", gated_attention=True, shared_gate=True, linear=True
    ),
    "qwen3_5_moe": Family(
        "Qwen3_5MoeForConditionalGeneration",
        mixture=True,
        qk_norm="head",
        gated_attention=True,
        shared_gate=True,
        linear=True,
        sees=True,
    ),
    "qwen3_5": Family("Qwen3_5ForConditionalGeneration", qk_norm="head", gated_attention=True, linear=True, sees=True),
    "qwen3": Family("Qwen3ForCausalLM", qk_norm="head"),
    "qwen2": Family("Qwen2ForCausalLM", qkv_bias=True, output_bias=False),
    "llama": Family("LlamaForCausalLM"),
    "mistral": Family("MistralForCausalLM"),
    "glm4_moe": Family("Glm4MoeForCausalLM", mixture=True, output_bias=False, router_bias_bytes=4),
    "deepseek_v3": Family("DeepseekV3ForCausalLM", mixture=True, router_bias_bytes=4),
    "minimax_m2": Family("MiniMaxM2ForCausalLM", mixture=True, qk_norm="all", router_bias_bytes=4),
    "gpt_oss": Family(
        "GptOssForCausalLM", mixture=True, qkv_bias=True, sinks=True, router_bias_bytes=2, expert_bias=True
    ),
}
EQUAL_LAYERS = ("qwen3_moe", "qwen3", "qwen2", "llama")
"""Families that this project's own engines have been tried with: decoders of equal layers with full attention."""
_LATENT = "latent attention with an index, another rope or other layers than DeepSeek-V3's, which are not counted yet"
_SHARED = "its first layers are dense, and the others have shared experts beside the routed ones"
_WINDOWS = "most layers attend to a window of the context only, so that their KV cache does not grow with it"
_MAMBA = "most layers are Mamba's, with a state of fixed size instead of a KV cache"
_UNCOUNTED = "its sizes have not been held against a published checkpoint"
NOT_PLANNED = {
    **dict.fromkeys(("deepseek_v32", "kimi_k2", "kimi_k25", "glm_moe_dsa", "glm4_moe_lite"), _LATENT),
    "ernie4_5_moe": _SHARED,
    **dict.fromkeys(("gemma3", "gemma3_text", "cohere2", "olmo3"), _WINDOWS),
    **dict.fromkeys(("nemotron_h", "granitemoehybrid"), _MAMBA),
    **dict.fromkeys(("mistral3", "ministral3", "seed_oss"), _UNCOUNTED),
    "llama4": "most layers attend to chunks of the context only, and a shared expert stands beside the routed ones",
    "phi3": "its projections of queries, keys and values are one matrix, as are those of its MLP",
}


def planned(model_types: tuple[object, ...]) -> str | None:
    """The first planned family among these; a language model that stands in a larger one adds _text to its name."""
    names = (name.removesuffix("_text") for name in model_types if isinstance(name, str))
    return next((name for name in names if name in PLANNED), None)


def reason(model_types: tuple[object, ...]) -> str:
    """The reason why the first known one of these is not planned; empty where none is known here."""
    return next((NOT_PLANNED[name] for name in model_types if isinstance(name, str) and name in NOT_PLANNED), "")
