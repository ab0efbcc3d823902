"""Reading a config.json: the shape that it describes, every size checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.sizing import families, published, stored
from qwen_runtime.sizing.shape import Latent, Linear, Shape, Windows
from qwen_runtime.sizing.tensors import BF16_BYTES, FP32_BYTES

EXPERTS, EXPERTS_RENAMED = "num_experts", "num_local_experts"
"""How many experts a mixture has: as the models that Qwen published say it, and as transformers 5 writes it."""
EXPERTS_ROUTED = "n_routed_experts"
"""The same where experts that work on every token stand beside them."""
MOST_LAYERS = 10_000
WINDOWED = "sliding_attention"
STATES = {None: BF16_BYTES, "auto": BF16_BYTES, "bfloat16": BF16_BYTES, "float16": BF16_BYTES, "float32": FP32_BYTES}
_NO_DENSE = "qwen3_5_moe"
"""The family whose configuration has no width of dense layers, since all its layers have experts."""


def is_mixture(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a mixture of experts."""
    return any(config.get(key) for key in (EXPERTS, EXPERTS_RENAMED, EXPERTS_ROUTED))


def from_config(name: str, config: Mapping[str, Any], where: str) -> Shape:
    """The shape that a config.json describes; `where` names the file in messages. Raises UsageError."""
    whole, config = config, published.text_part(config, where)
    family = _family(whole, config, where)
    traits = families.PLANNED[family]
    reader = Reader(config, where)
    if config.get("mlp_bias"):
        raise reader.wrong("mlp_bias", config["mlp_bias"], "none: sizes of such models are not known here")
    heads = reader.number("num_attention_heads")
    hidden = reader.number("hidden_size")
    layers = reader.number("num_hidden_layers", most=MOST_LAYERS)
    latent = _latent(reader) if family == "deepseek_v3" else None
    if config.get("head_dim") is None and latent is None:
        reader.divides("num_attention_heads", heads, "hidden_size", hidden)
    form = stored.form(whole, where, mxfp4=family == "gpt_oss", dense=not (traits.mixture or traits.linear))
    mixture = _mixture(reader, family, layers) if traits.mixture else {}
    encoder = published.encoder(whole)
    shape = Shape(
        name=name,
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=reader.number("num_key_value_heads", heads),
        head_dim=latent.plain_dim + latent.rope_dim if latent else reader.number("head_dim", hidden // heads),
        vocabulary=reader.number("vocab_size"),
        context_tokens=published.longest_context(whole, where),
        unstretched_context_tokens=published.context_without_yarn(whole, where),
        nested=bool(whole.get(published.TEXT)),
        intermediate=reader.number("intermediate_size", mixture["moe_intermediate"] if family == _NO_DENSE else None),
        tied=config.get("tie_word_embeddings") is True,
        bias=traits.qkv_bias or config.get("attention_bias") is True,
        fp8_block=form.fp8_block,
        mxfp4=form.mxfp4,
        int8=form.int8,
        own_qk_norm="head" if family == "glm4_moe" and config.get("use_qk_norm") is True else "",
        latent=latent,
        linear=_linear(reader, layers) if traits.linear else None,
        windows=_windows(reader, family, layers),
        text_alone=encoder is not None,
        remarks=(f"{where} has {encoder}: the encoder is left out, and the engine refuses images",) if encoder else (),
        **mixture,
    )
    if shape.growing_layers < 1:
        raise reader.wrong("layer_types", config.get("layer_types"), "at least one layer with full attention")
    reader.divides("num_key_value_heads", shape.kv_heads, "num_attention_heads", shape.heads)
    if shape.experts_per_token > shape.experts:
        raise reader.wrong("num_experts_per_tok", shape.experts_per_token, f"at most num_experts, {shape.experts}")
    return shape


def _family(whole: Mapping[str, Any], text: Mapping[str, Any], where: str) -> str:
    """The family of the language model, which must be a planned one. Beside it may be only what engines leave out."""
    inner, outer = text.get("model_type"), whole.get("model_type")
    family = families.planned((inner, outer))
    if family is None:
        nested = f" with a {published.TEXT} of model_type {inner!r}" if inner != outer else ""
        why = families.reason((outer, inner))
        raise UsageError(
            f"{where} describes model_type {outer!r}{nested}{': ' if why else ''}{why}",
            f"one of {', '.join(families.PLANNED)}",
            "Plan a model of these families. `qwen-runtime serve` takes others too, in a layout that you choose.",
        )
    if not families.PLANNED[family].sees and (key := published.encoder(whole)):
        raise UsageError(
            f"{where} has {key}",
            "a model of text alone",
            "Plan its language model alone; sizes of encoders are not known here.",
        )
    return family


class Reader:
    """Sizes of one config.json; messages name the file by `where`."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.config, self._where = config, where

    def number(self, key: str, default: int | None = None, most: int = published.LARGEST) -> int:
        return published.number(self.config, key, self._where, default, most)

    def divides(self, small_key: str, small: int, large_key: str, large: int) -> None:
        if large % small:
            raise self.wrong(small_key, small, f"a divisor of {large_key}, {large}")

    def wrong(self, key: str, value: object, needed: str) -> UsageError:
        return published.wrong(self._where, key, value, needed)


def _mixture(reader: Reader, family: str, layers: int) -> dict[str, Any]:
    """Sizes of the experts. Families name the same things differently."""
    config = reader.config
    if family in ("glm4_moe", "deepseek_v3"):
        width = reader.number("moe_intermediate_size")
        dense = config.get("first_k_dense_replace")
        shared = 0 if config.get("n_shared_experts") == 0 else width * reader.number("n_shared_experts", 1)
        experts = reader.number(EXPERTS_ROUTED)
        dense_layers = reader.number("first_k_dense_replace", most=layers) if dense else 0
    elif family in ("minimax_m2", "gpt_oss"):
        width, shared, dense_layers = reader.number("intermediate_size"), 0, 0
        experts = reader.number(EXPERTS_RENAMED)
    else:
        width = reader.number("moe_intermediate_size")
        gated = families.PLANNED[family].shared_gate
        shared = reader.number("shared_expert_intermediate_size") if gated else 0
        experts = reader.number(EXPERTS, config.get(EXPERTS_RENAMED))
        dense_layers = _dense_layers(reader, layers)
    return {
        "experts": experts,
        "experts_per_token": reader.number("num_experts_per_tok"),
        "moe_intermediate": width,
        "shared_intermediate": shared,
        "dense_layers": dense_layers,
    }


def _dense_layers(reader: Reader, layers: int) -> int:
    """Layer i has experts unless it is in mlp_only_layers or decoder_sparse_step does not divide i + 1."""
    step = reader.number("decoder_sparse_step", 1)
    dense = reader.config.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(type(layer) is int for layer in dense):
        raise reader.wrong("mlp_only_layers", dense, "a list of layers")
    return sum(1 for layer in range(layers) if layer in dense or (layer + 1) % step)


def _latent(reader: Reader) -> Latent:
    return Latent(
        query_rank=reader.number("q_lora_rank") if reader.config.get("q_lora_rank") is not None else 0,
        rank=reader.number("kv_lora_rank"),
        plain_dim=reader.number("qk_nope_head_dim"),
        rope_dim=reader.number("qk_rope_head_dim"),
        value_dim=reader.number("v_head_dim"),
    )


def _linear(reader: Reader, layers: int) -> Linear:
    """Every n-th layer has full attention (full_attention_interval), or layer_types says which have."""
    kinds = _kinds(reader, layers)
    number = (
        kinds.count("linear_attention") if kinds else layers - layers // reader.number("full_attention_interval", 4)
    )
    return Linear(
        layers=number,
        key_heads=reader.number("linear_num_key_heads"),
        value_heads=reader.number("linear_num_value_heads"),
        key_dim=reader.number("linear_key_head_dim"),
        value_dim=reader.number("linear_value_head_dim"),
        kernel=reader.number("linear_conv_kernel_dim"),
        number_bytes=_state_bytes(reader),
    )


def _state_bytes(reader: Reader) -> int:
    """Bytes of a number of the state: vLLM 0.32 takes mamba_ssm_dtype, or the form in which the model computes."""
    stated = reader.config.get("mamba_ssm_dtype")
    if stated not in STATES:
        raise reader.wrong("mamba_ssm_dtype", stated, f"one of {', '.join(map(str, STATES))}")
    return STATES[stated]


def _windows(reader: Reader, family: str, layers: int) -> Windows | None:
    """Layers with windows: those that layer_types names or, in gpt_oss, every other one, from the first on.

    Other families state a width and use it where use_sliding_window or a layer type says so; where all layers have
    windows, nothing grows with the context, which is not counted here.
    """
    kinds = _kinds(reader, layers)
    number = kinds.count(WINDOWED) if kinds else -(-layers // 2) if family == "gpt_oss" else 0
    everywhere = family == "mistral" and reader.config.get("sliding_window") is not None and not kinds
    if everywhere or number == layers:
        raise reader.wrong("sliding_window", reader.config.get("sliding_window"), "null, or layers without windows")
    return Windows(number, reader.number("sliding_window")) if number else None


def _kinds(reader: Reader, layers: int) -> list[Any]:
    """layer_types, where it is there; it must have an entry for each layer."""
    kinds = reader.config.get("layer_types") or []
    if not isinstance(kinds, list) or len(kinds) not in (0, layers):
        raise reader.wrong("layer_types", kinds, f"a list of {layers} types of layers")
    return kinds
