"""The kind of a host without a GPU follows from its processor's instructions, and decides in what it computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from qwen_runtime.errors import HostError
from qwen_runtime.plan import Plan, build, make, plan
from qwen_runtime.sizing import processor

# Parts of /proc/cpuinfo, as these processors show it in virtual machines.
ZEN_4 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model name\t: AMD EPYC
flags\t\t: fpu vme sse4_2 fma avx f16c avx2 avx512f avx512dq avx512ifma avx512cd avx512bw avx512_bf16 avx512_vnni
bogomips\t: 5192.26

processor\t: 1
model name\t: AMD EPYC
flags\t\t: fpu vme
"""
# https://github.com/ggml-org/llama.cpp/issues/2555
SAPPHIRE_RAPIDS = """model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu avx f16c avx2 avx512f avx_vnni avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8
"""
SKYLAKE = "model name\t: Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz\nflags\t\t: fpu avx f16c avx2 avx512f avx512dq\n"
# https://github.com/autotest/tp-qemu/pull/2895
MILAN = "model name\t: AMD EPYC-Milan Processor\nflags\t\t: fpu f16c bmi1 avx2 smep bmi2 sha_ni xsaves rdpid\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("cpu_info", "bf16", "widest", "kind"),
    [
        (ZEN_4, "avx512_bf16", "AVX-512", "cpu"),
        (SAPPHIRE_RAPIDS, "amx_bf16", "AVX-512", "cpu"),
        (SKYLAKE, None, "AVX-512", "cpu-float32"),
        (MILAN, None, "AVX2", "cpu-float32"),
    ],
    ids=["Zen 4", "Sapphire Rapids", "Skylake", "Milan"],
)
def test_a_processor_is_of_the_kind_that_its_instructions_say(
    cpu_info: str, bf16: str | None, widest: str, kind: str
) -> None:
    read = processor.parse(cpu_info)
    assert read is not None
    assert (read.bf16, read.widest, read.kind) == (bf16, widest, kind)
    assert read.advice(kind) is None


@pytest.mark.parametrize("cpu_info", [ARM, "", "flags\t\t:\n", "\x00\xff: :"])
def test_what_cannot_be_told_is_not_guessed(cpu_info: str) -> None:
    assert processor.parse(cpu_info) is None


def test_a_plan_for_another_kind_of_processor_is_spoken_of_by_what_this_one_has() -> None:
    milan, zen = processor.parse(MILAN), processor.parse(ZEN_4)
    assert milan is not None
    assert zen is not None
    assert "AMD EPYC-Milan Processor has AVX2 and no instructions for bf16" in str(milan.advice("cpu"))
    assert str(milan.advice("cpu")).endswith("plan --gpu cpu-float32")
    assert str(zen.advice("cpu-float32")).endswith("plan --gpu cpu")


def test_a_host_that_shows_no_processor_is_not_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "none")
    assert processor.here() is None


def draw(gpu: str, **wishes: int) -> Plan:
    return plan(make(model="Qwen2.5-Coder-1.5B-Instruct", gpu=gpu, gpus_per_node=1, context_tokens=4096, **wishes))


def test_without_bf16_the_engine_computes_in_float32_in_twice_the_memory() -> None:
    narrow, wide = draw("cpu", memory_gib=32), draw("cpu-float32", memory_gib=32)
    assert wide.best.memory.weights_bytes == 2 * narrow.best.memory.weights_bytes
    assert wide.request.shape.kv_bytes_per_token == 2 * narrow.request.shape.kv_bytes_per_token
    for engine, arguments in wide.launch.items():
        assert arguments[arguments.index("--dtype") + 1] == "float32", engine
    document = build(wide)
    assert document["choices"]["dtype"]["value"] == document["choices"]["kv_cache"]["value"] == "float32"
    assert "bf16" in document["choices"]["dtype"]["reason"]


@pytest.mark.parametrize(("streams", "measured"), [(1, 1.3), (8, 7.1), (32, 16.7)])
def test_what_was_measured_without_bf16_is_predicted_within_a_tenth(streams: int, measured: float) -> None:
    wish = make(
        model="Qwen2.5-Coder-1.5B-Instruct",
        gpu="cpu-float32",
        gpus_per_node=1,
        context_tokens=2048,
        input_tokens=40,
        output_tokens=64,
        concurrency=streams,
        memory_gib=32,
    )
    [prediction] = [each for each in plan(wish).predicted if each.concurrency == streams]
    assert prediction.output_tokens_per_s == pytest.approx(measured, rel=0.1)


def test_a_gpu_that_is_offered_instead_computes_in_bf16_again() -> None:
    assert draw("cpu-float32", memory_gib=32).request.on(draw("h100-80gb").request.gpu).shape.dtype == "bfloat16"


@pytest.mark.parametrize(("cpu_info", "dtype", "bytes_of_a_number"), [(ZEN_4, "bfloat16", 2), (MILAN, "float32", 4)])
def test_the_host_itself_is_planned_by_what_is_found_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu_info: str, dtype: str, bytes_of_a_number: int
) -> None:
    (tmp_path / "cpuinfo").write_text(cpu_info)
    (tmp_path / "meminfo").write_text("MemTotal: 99999999 kB\nMemAvailable:   33554432 kB\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor, "MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(processor, "memory_bytes_per_s", lambda: 20e9)
    drawn = draw("host")
    alone = drawn.predicted[0]
    assert drawn.request.gpu.usable_bytes == 32 * 2**30
    weights_bytes = drawn.request.shape.parameters * bytes_of_a_number
    assert 0.6 < weights_bytes / 20e9 / alone.inter_token_s < 1, "one user is bound by this memory"
    reason = build(drawn)["choices"]["dtype"]
    assert reason["value"] == dtype
    assert "memory that gives 20 GB/s" in reason["reason"]


@pytest.mark.parametrize(("missing", "planned"), [("", True), (" avx512_vnni", False)], ids=["VNNI", "no VNNI"])
def test_int8_is_planned_on_a_host_whose_processor_has_its_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, planned: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(ZEN_4.replace(missing, ""))
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor, "memory_bytes_per_s", lambda: 20e9)
    choices = build(draw("host"))["choices"]
    assert ("INT8 weights would give" in choices["quantization"]["reason"]) is planned
    assert ("avx512_vnni" in choices["dtype"]["reason"]) is planned


def test_a_host_that_cannot_be_told_is_planned_by_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(ARM)
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    with pytest.raises(HostError, match="Plan --gpu cpu or cpu-float32"):
        draw("host")


def test_the_speed_of_memory_is_measured() -> None:
    assert 1e8 < processor.memory_bytes_per_s() < 1e13
