"""The server takes what plans emit for it, and refuses what it can't do with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime.cli import main
from qwen_runtime.engine import transformers
from qwen_runtime.engine.spec import EngineSpec, Progress, Rank
from qwen_runtime.engine.transformers import flags
from qwen_runtime.errors import UsageError
from qwen_runtime.serve import planned

OWN = ("m", "--served-model-name", "m", "--port", "8080", "--max-model-len", "4096", "--dtype", "bfloat16")
MOE = {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 2,
    "hidden_size": 96,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "intermediate_size": 128,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Write:
    def call(*flags_of_plan: str) -> Path:
        assert main(["plan", "--context", "2048", "--engine", "transformers", "--json", *flags_of_plan]) == 0
        path = tmp_path / "plan.json"
        path.write_text(capsys.readouterr().out)
        return path

    return call


def server_words(settings: planned.Settings, *extra: str) -> list[str]:
    """The arguments of the server, after the interpreter and the module."""
    return transformers.command(spec(settings, Path("m"), *extra))[3:]


def spec(settings: planned.Settings, model_dir: Path, *extra: str) -> EngineSpec:
    assert settings.max_model_len is not None
    return EngineSpec(model_dir, "m", 8080, settings.max_model_len, settings.dtype, settings.arguments, extra)


@pytest.mark.parametrize("gpu", ["cpu", "h100-80gb"])
def test_the_server_reads_the_plan_out_of_its_arguments(write: Write, gpu: str) -> None:
    path = write("--model", "smollm2", "--gpu", gpu, "--gpus-per-node", "1")
    plan = json.loads(path.read_text())
    read = flags.parse(server_words(planned.settings(path, "transformers", None, None)))
    assert read.limits.context_tokens == 2048
    assert read.limits.pages == plan["memory"]["kv_tokens"] // read.limits.page_tokens
    assert read.dtype == "bfloat16"
    assert read.attention == ("sdpa" if gpu == "cpu" else "flash_attention_2")
    assert read.max_batch_tokens == 8192


def test_what_stands_after_the_border_wins(write: Write) -> None:
    path = write("--model", "smollm2", "--gpu", "cpu", "--gpus-per-node", "1")
    settings = planned.settings(path, "transformers", 1024, "float32")
    read = flags.parse(server_words(settings, "--max-batch-tokens", "64", "--num-blocks", "32"))
    assert (read.max_batch_tokens, read.limits.pages, read.limits.context_tokens) == (64, 32, 1024)
    assert read.dtype == "float32"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--pp-size", "2", "--tp-size", "2"], "--pp-size 2 with --tp-size 2\nneeded: one of the two"),
        (["--tp-size", "4", "--ep-size", "2"], "--ep-size 2 with --tp-size 4\nneeded: 1, or as many ranks"),
        (["--ep-size", "2"], "--ep-size 2 with --tp-size 1\nneeded: 1, or as many ranks"),
        (["--tp-size", "2", "--quantization", "int8"], "--quantization int8 over 2 ranks\nneeded: one of the two"),
        (["--pp-size", "2", "--quantization", "int8"], "--quantization int8 over 2 ranks\nneeded: one of the two"),
    ],
)
def test_ranks_that_cannot_work_together_are_refused(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flags.parse([*OWN, *argv])


def test_a_planned_group_of_ranks_is_started_as_planned(write: Write, tmp_path: Path) -> None:
    path = write("--model", "Qwen3-Coder-30B-A3B-Instruct", "--gpu", "l40s-48gb", "--gpus-per-node", "4")
    layout = json.loads(path.read_text())["layout"]
    settings = planned.settings(path, "transformers", None, None)
    read = flags.parse(server_words(settings))
    assert (read.tensor_parallel, read.expert_parallel) == (layout["tensor_parallel"], layout["expert_parallel"])
    (tmp_path / "config.json").write_text(json.dumps(MOE))
    assert transformers.ranks(spec(settings, tmp_path)) == layout["tensor_parallel"] > 1


@pytest.mark.parametrize(
    ("argv", "change", "message"),
    [
        (("--tp-size", "3"), {}, "over 3 ranks: transformers repeats no key/value heads: 4 are not divisible by TP 3"),
        (("--tp-size", "4"), {"vocab_size": 1002}, "pads no vocabulary: 1002 tokens are not divisible by TP 4"),
        (("--tp-size", "4", "--ep-size", "4"), {"num_experts": 6}, "6 experts are not divisible by EP 4"),
        (("--tp-size", "4"), {"moe_intermediate_size": 144}, "experts of 144 / TP 4 = 36, and torch's grouped product"),
        (("--tp-size", "2"), {"quantization_config": FP8}, "divides weights in bf16 over ranks, not FP8"),
        (("--pp-size", "2"), {"quantization_config": FP8}, "divides weights in bf16 over ranks, not FP8"),
        (("--pp-size", "3"), {}, "over 3 ranks: 2 layers are not divisible by PP 3: transformers leaves the rest"),
    ],
)
def test_a_model_that_ranks_cannot_share_is_refused_before_it_is_loaded(
    tmp_path: Path, argv: tuple[str, ...], change: dict[str, object], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MOE | change))
    with pytest.raises(UsageError, match=message):
        transformers.ranks(spec(planned.Settings(2048, "float32"), tmp_path, *argv))


def test_stages_are_ranks_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MOE))
    assert transformers.ranks(spec(planned.Settings(2048, "float32"), tmp_path, "--pp-size", "2")) == 2


def test_without_ranks_any_model_is_one_process() -> None:
    assert transformers.ranks(spec(planned.Settings(2048, "float32"), Path("m"))) == 1


def test_one_of_several_nodes_is_refused() -> None:
    rank = Rank(nodes=2, rank=0, leader_address="a", rendezvous_port=1)
    with pytest.raises(UsageError, match="engine transformers on 2 nodes\nneeded: one node"):
        transformers.command(EngineSpec(Path("m"), "m", 8080, 2048, "bfloat16", rank=rank))


def test_a_cache_that_is_smaller_than_one_context_is_refused() -> None:
    assert flags.parse([*OWN, "--num-blocks", "128"]).limits.pages == 128
    with pytest.raises(UsageError, match="--num-blocks 127 of 32 tokens hold 4064 tokens\nneeded: at least"):
        flags.parse([*OWN, "--num-blocks", "127"])


def test_without_a_plan_eight_contexts_have_a_place() -> None:
    assert flags.parse(OWN).limits.pages * flags.PAGE_TOKENS == 8 * 4096


@pytest.mark.parametrize("flag", ["--num-blocks", "--page-size", "--max-batch-tokens"])
def test_nothing_of_which_none_is_needed_is_refused(flag: str) -> None:
    with pytest.raises(UsageError, match=f"{flag}: 0 is too small"):
        flags.parse([*OWN, flag, "0"])


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --max-num-seqs 8"):
        flags.parse([*OWN, "--max-num-seqs", "8"])


def test_progress_is_read_from_its_own_counters() -> None:
    metrics = """transformers:num_requests_running{engine="0",model_name="m"} 2.0
transformers:num_requests_waiting{engine="0",model_name="m"} 1.0
transformers:iteration_tokens_total_sum{engine="0",model_name="m"} 17.0
vllm:num_requests_running{engine="0",model_name="m"} 5.0
"""
    assert transformers.read_progress(metrics) == Progress(requests=3, tokens=17)
