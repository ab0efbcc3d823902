"""Coverage-guided fuzzing of a config.json and an index: `make fuzz`, or with libFuzzer's own arguments
`PYTHONPATH=python/src python -m tests.fuzz.model_configuration -max_total_time=600 CORPUS_DIR`.

Anything but a refusal is a defect, and so is a shape without weights or without context.
"""

from __future__ import annotations

import json
import sys

import atheris

from tests.fakes.model_files import dense_config

with atheris.instrument_imports(include=["qwen_runtime"]):
    from qwen_runtime import safetensors
    from qwen_runtime.errors import UsageError
    from qwen_runtime.sizing import published
    from qwen_runtime.sizing.configs import from_config

RUNS = 500_000
SEED = {
    **dense_config("qwen3_moe", 4096),
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "mlp_only_layers": [],
    "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 4096},
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
INDEX = b'{"metadata":{"total_size":4},"weight_map":{"a":"model-00001-of-00001.safetensors"}}'


def check(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    if provider.ConsumeBool():
        _check_index(provider)
    else:
        _check_configuration(provider)


def _check_configuration(provider: atheris.FuzzedDataProvider) -> None:
    """Replaces the value of one key by whatever JSON the bytes form, or the whole text where they form none."""
    key = provider.PickValueInList(sorted(SEED))
    text = provider.ConsumeUnicodeNoSurrogates(provider.remaining_bytes())
    try:
        config = {**SEED, key: json.loads(text)}
    except (ValueError, RecursionError):
        config = {**SEED, key: text}
    try:
        shape = from_config("fuzzed", config, "config.json")
    except UsageError:
        return
    if shape.size_bytes <= 0 or not 0 < shape.context_tokens <= published.LARGEST:
        raise AssertionError(f"{shape.size_bytes} bytes and {shape.context_tokens} tokens from {config}")


def _check_index(provider: atheris.FuzzedDataProvider) -> None:
    at = provider.ConsumeIntInRange(0, len(INDEX))
    after = INDEX[at + provider.ConsumeIntInRange(0, 40) :]
    try:
        weight_map = safetensors.parse_index(INDEX[:at] + provider.ConsumeBytes(provider.remaining_bytes()) + after)
    except ValueError:
        return
    if not weight_map or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise AssertionError(f"weight_map {weight_map}")


if __name__ == "__main__":
    bounded = any(argument.startswith(("-runs=", "-max_total_time=")) for argument in sys.argv)
    atheris.Setup([*sys.argv, *([] if bounded else [f"-runs={RUNS}"])], check)
    atheris.Fuzz()
