"""Refusals before a weight is read, each with its reason."""

from __future__ import annotations

import pytest
from qwen_runtime.engine import quantization
from qwen_runtime.errors import HostError, UsageError


def test_nothing_is_quantized_unless_asked_for() -> None:
    assert quantization.choose(None, {}, "cpu") == (None, ("none", "not asked for"))


def test_an_unknown_method_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="quantization int3\nneeded: one of int8, bitsandbytes-8bit, float8"):
        quantization.choose("int3", {}, "cpu")


@pytest.mark.parametrize("experts", ["num_experts", "num_local_experts"])
@pytest.mark.parametrize("name", ["int8", "bitsandbytes-8bit"])
def test_a_mixture_whose_experts_would_stay_whole_is_refused(name: str, experts: str) -> None:
    with pytest.raises(UsageError, match=f"quantization {name} of a mixture of experts\nneeded: linear layers"):
        quantization.choose(name, {experts: 8}, "cpu")


def test_a_method_whose_package_is_absent_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise quantization.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(quantization.importlib.metadata, "version", absent)
    with pytest.raises(HostError, match="torchao is not installed"):
        quantization.choose("int8", {}, "cpu")


def test_what_is_quantized_already_is_not_quantized_again() -> None:
    with pytest.raises(UsageError, match=r"quantization_config \[\]\nneeded: an object, or null"):
        quantization.choose(None, {"quantization_config": []}, "cpu")
    with pytest.raises(UsageError, match="compression_config with quant_method 'compressed-tensors'"):
        quantization.choose(None, {"compression_config": {"quant_method": "compressed-tensors"}}, "cpu")
    stored = {"quantization_config": {"quant_method": "gptq"}}
    assert quantization.choose(None, stored, "cpu") == (None, ("gptq", "the checkpoint is stored so"))
    with pytest.raises(UsageError, match=r"quantized already \(gptq\)"):
        quantization.choose("int8", stored, "cpu")
