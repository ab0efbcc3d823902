"""Programs read the promised keys of a plan, and get the same message where it does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime import errors
from qwen_runtime.cli import main
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec
from qwen_runtime.errors import PlanError, UsageError
from qwen_runtime.plan import build, make, plan, read

from tests.fakes.model_files import dense_config

DENSE = dense_config("qwen2", 32768)
Run = Callable[..., tuple[int, str, str]]
FLAGSHIP = ("--model", "Qwen3-Coder-480B-A35B-Instruct-FP8", "--gpu", "h100-80gb", "--gpus-per-node", "8")
SMALL = "Qwen3-Coder-30B-A3B-Instruct-FP8"
TOO_LARGE = ("--model", "Qwen3-Coder-480B-A35B-Instruct", "--gpu", "h100-80gb", "--gpus-per-node", "8")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main(["plan", *map(str, arguments)])
        except SystemExit as exit_:
            code = int(str(exit_.code))
        return code, *capsys.readouterr()

    return call


def test_a_plan_that_fits_has_the_promised_surface(run: Run) -> None:
    code, out, err = run(*FLAGSHIP, "--nodes", 1, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["fits"] is True
    assert document["parameters"] == 480_154_875_392
    layout = {"tensor_parallel": 8, "pipeline_parallel": 1, "expert_parallel": 8, "data_parallel": 1, "nodes": 1}
    assert layout.items() <= document["layout"].items()
    memory = document["memory"]
    assert memory["kv_bytes_per_token"] * 262_144 == 62 * 2**30
    assert memory["kv_tokens"] > 65_536
    assert memory["weights_bytes_per_gpu"] + memory["headroom_bytes_per_gpu"] < memory["usable_bytes_per_gpu"]
    assert sum(memory["headroom_parts_per_gpu"].values()) == memory["headroom_bytes_per_gpu"]
    [at_16] = [row for row in document["predicted"] if row["concurrency"] == 16]
    assert {"output_tokens_per_s", "output_tokens_per_s_per_gpu", "ttft_s", "inter_token_s"} <= set(at_16)
    assert all(entry["layout"] and entry["reason"] for entry in document["refused"])
    assert document["nearest_fit"] is None
    assert set(document["launch"]) == {"vllm"}
    assert document["kubernetes"]["termination_grace_period_seconds"] > document["kubernetes"]["drain_seconds"]
    assert document["kubernetes"]["spare_nodes_for_max_surge"] == 1


def test_a_change_waits_for_the_longest_answer_at_the_slowest_speed_that_was_predicted(run: Run) -> None:
    plans = [json.loads(run(*FLAGSHIP, *answer, "--json")[1]) for answer in ((), ("--longest-answer", 32768))]
    for document, tokens in zip(plans, (65_536, 32_768), strict=True):
        slowest_s = max(row["inter_token_s"] for row in document["predicted"])
        assert document["wishes"]["longest_answer_tokens"] == tokens
        assert document["kubernetes"]["longest_answer_seconds"] > 1.2 * tokens * slowest_s
        assert document["kubernetes"]["drain_seconds"] >= document["kubernetes"]["longest_answer_seconds"]
    assert plans[1]["kubernetes"]["drain_seconds"] < plans[0]["kubernetes"]["drain_seconds"]


def test_an_answer_is_never_longer_than_the_context(run: Run) -> None:
    document = json.loads(run(*FLAGSHIP, "--context", 8192, "--json")[1])
    assert document["wishes"]["longest_answer_tokens"] == 8192
    assert run(*FLAGSHIP, "--context", 8192, "--longest-answer", 8193)[0] == 2


def test_a_plan_that_does_not_fit_exits_with_3_and_names_what_does(run: Run) -> None:
    code, out, err = run(*TOO_LARGE, "--json")
    document = json.loads(out)
    assert (code, document["fits"], document["predicted"], document["launch"]) == (3, False, [], {})
    assert err == errors.message(**document["problem"]) + "\n"
    fit = document["nearest_fit"]
    assert fit["changed"] == ["quantization"]
    assert run(*fit["arguments"])[0] == 0
    assert json.loads(run(*fit["arguments"], "--json")[1])["layout"] == fit["layout"]


def test_the_message_has_what_was_found_what_is_needed_and_what_to_do(run: Run) -> None:
    problem = json.loads(run(*TOO_LARGE, "--json")[1])["problem"]
    assert "does not fit 1 x 8 h100-80gb" in problem["found"]
    assert "GPUs that offer more than" in problem["needed"]
    assert "--quantization fp8 (Qwen3-Coder-480B-A35B-Instruct-FP8) as TP8 x EP8" in problem["remedy"]


def test_the_table_tells_the_same(run: Run) -> None:
    code, out, _ = run(*FLAGSHIP)
    assert code == 0
    for fact in ("480,154,875,392 parameters", "56.2 GiB weights", "TP8 x EP8", "--enable-expert-parallel", "320"):
        assert fact in out
    code, out, _ = run(*TOO_LARGE)
    assert code == 3
    assert out.startswith("DOES NOT FIT")


@pytest.mark.parametrize("engine", ["transformers", "deepspeed"])
def test_other_engines_have_a_table_too(run: Run, engine: str) -> None:
    code, out, _ = run("--model", "Qwen2.5-Coder-7B-Instruct", *FLAGSHIP[2:], "--context", 8192, "--engine", engine)
    assert code == 0
    assert f"{engine}: asked for" in out


def test_numbers_of_the_command_survive_in_the_plan(run: Run) -> None:
    numbers = ("--memory-gib", "70.123456789", "--target-latency-ms", "12.5")
    command = json.loads(run(*FLAGSHIP, *numbers, "--json")[1])["command"]
    assert " ".join(numbers[:2]) in command
    assert " ".join(numbers[2:]) in command


@pytest.mark.parametrize(("gpu", "needed"), [("mi300x-192gb", "ROCm"), ("b200-180gb", "nvlsm"), ("h100-80gb", None)])
def test_hardware_that_no_role_installs_whole_is_named_in_the_answer(run: Run, gpu: str, needed: str | None) -> None:
    warnings = json.loads(run(*FLAGSHIP[:3], gpu, *FLAGSHIP[4:], "--json")[1])["warnings"]
    by_hand = [warning for warning in warnings if "not installed" in warning]
    assert [needed in warning for warning in by_hand] == ([True] if needed else [])


def test_a_context_that_only_yarn_reaches_is_planned_and_named(run: Run, tmp_path: Path) -> None:
    config = {**DENSE, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = ("--model", str(tmp_path), "--gpu", "h100", "--gpus-per-node", "1", "--json", "--context")
    stretched = [json.loads(run(*command, context)[1]) for context in ("131072", "32768")]
    named = [any("reached by YaRN" in warning for warning in document["warnings"]) for document in stretched]
    assert named == [True, False]
    assert run(*command, "131073")[0] == 2


@pytest.mark.parametrize("nested", [False, True])
def test_plan_and_serve_raise_vllms_limit_in_the_same_words(run: Run, tmp_path: Path, nested: bool) -> None:
    rope = {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}
    config = {**DENSE, "rope_scaling": rope}
    written_config = {"model_type": "qwen2", "text_config": config} if nested else config
    (tmp_path / "config.json").write_text(json.dumps(written_config))
    command = ("--model", str(tmp_path), "--gpu", "h100", "--gpus-per-node", "1", "--json", "--context")
    long, short = (json.loads(run(*command, tokens)[1])["launch"]["vllm"] for tokens in (131072, 32768))
    served = vllm.command(EngineSpec(tmp_path, "m", 8080, 131072, "bfloat16"))
    override = served[served.index("--hf-overrides") : served.index("--hf-overrides") + 2]
    assert override == long[long.index("--hf-overrides") : long.index("--hf-overrides") + 2]
    assert "--hf-overrides" not in short
    both = vllm.command(EngineSpec(tmp_path, "m", 8080, 131072, "bfloat16", planned=tuple(long)))
    assert both.count("--hf-overrides") == 1


def test_a_plan_for_the_default_lengths_says_that_agents_send_other_prompts(run: Run) -> None:
    lengths = ("--input-tokens", 20_000, "--output-tokens", 800)
    told = ["agents send" in " ".join(json.loads(run(*FLAGSHIP, *more, "--json")[1])["warnings"])
            for more in ((), lengths)]  # fmt: skip
    assert told == [True, False]


def test_a_spare_host_is_room_for_a_rolling_change(run: Run) -> None:
    document = json.loads(run(*FLAGSHIP, "--nodes", 4, "--spare", 1, "--json")[1])
    assert document["kubernetes"]["replicas"] == 3
    assert document["kubernetes"]["spare_nodes_for_max_surge"] == 0
    assert "1 of the hosts spare" in document["reason"]
    assert "--spare 1" in document["command"]


@pytest.mark.parametrize("name", ["H100-SXM", "NVIDIA H100 80GB HBM3", "h100"])
def test_a_gpu_goes_by_the_names_of_preflight_and_nvidia_smi(run: Run, name: str) -> None:
    assert json.loads(run(*FLAGSHIP[:3], name, *FLAGSHIP[4:], "--json")[1])["hardware"]["gpu"] == "h100-80gb"


def test_the_same_chip_on_another_board_is_no_other_name(run: Run) -> None:
    code, _, err = run(*FLAGSHIP[:3], "NVIDIA H100 PCIe", *FLAGSHIP[4:])
    assert code == 2
    assert "is not known" in err


def test_catalogues_are_listed_for_people_and_for_programs(run: Run) -> None:
    assert "h100-80gb" in run("--list-gpus")[1]
    assert {gpu["name"] for gpu in json.loads(run("--list-gpus", "--json")[1])} >= {"cpu", "mi300x-192gb"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no --model, --gpu, --gpus-per-node"),
        ((*FLAGSHIP[:2], "--gpu", "h100-80gb"), "no --gpus-per-node"),
        ((*FLAGSHIP, "--nodes", "0"), "0 is too small"),
        ((*FLAGSHIP, "--concurrency", "many"), "'many' is not a whole number"),
        ((*FLAGSHIP, "--target-latency-ms", "nan"), "'nan' is not a number"),
        ((*FLAGSHIP, "--target-latency-ms", "-1"), "-1 is too small"),
        ((*FLAGSHIP, "--gpu-memory-utilization", "90"), "90 is no share"),
        ((*FLAGSHIP, "--quantization", "int3"), "int3"),
        ((*FLAGSHIP, "--engine", "other"), "other"),
        ((*FLAGSHIP[:3], "h100-81gb", *FLAGSHIP[4:]), "closest names are h100-80gb"),
        (("--model", "Qwen3-Coder", *FLAGSHIP[2:]), "closest names are"),
        ((*FLAGSHIP, "--context", "262145"), "at most 262144 tokens"),
    ],
)
def test_a_wrong_command_gets_one_clear_message(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def written(path: Path, **changes: Any) -> Path:
    small = plan(make(model=SMALL, gpu="h100-80gb", gpus_per_node=8))
    path.write_text(json.dumps({**build(small), **changes}))
    return path


def test_a_plan_is_read_back_by_the_program_that_starts_an_engine(tmp_path: Path) -> None:
    document = read(written(tmp_path / "plan.json"))
    assert (document.model, document.max_model_len, document.dtype) == (SMALL, 65536, "bfloat16")
    assert "--tensor-parallel-size" in document.launch["vllm"]
    assert document.environment == {"VLLM_USE_DEEP_GEMM": "0"}
    assert document.engine == "vllm"
    assert (document.hosts.gpu, document.hosts.nodes, document.hosts.gpus_per_node) == ("h100-80gb", 1, 8)
    assert document.pods.gpu_resource == "nvidia.com/gpu"
    assert document.pods.gpus * document.nodes_per_replica == document.gpus_per_replica


def test_a_written_plan_is_shown_to_people_and_read_for_programs(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "plan.json")
    code, table, _ = run("--read", path)
    assert (code, table) == (0, run("--model", SMALL, *FLAGSHIP[2:])[1])
    assert json.loads(run("--read", path, "--json")[1]) == asdict(read(path))


def test_a_plan_that_does_not_fit_is_not_read_for_programs(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "plan.json"
    _, document, refusal = run(*TOO_LARGE, "--json")
    path.write_text(document)
    assert run("--read", path, "--json") == (3, "", refusal)


def test_reading_a_plan_that_does_not_fit_gives_its_own_message(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "plan.json"
    path.write_text(run(*TOO_LARGE, "--json")[1])
    with pytest.raises(PlanError) as caught:
        read(path)
    assert str(caught.value) == errors.message(**json.loads(path.read_text())["problem"])


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"format": 1, "fits": true}', '{"format": 1}'])
def test_what_is_no_plan_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"plan\.json is not a plan of this version"):
        read(path)


def test_a_plan_of_another_version_or_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="format 2"):
        read(written(tmp_path / "plan.json", format=2))
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "absent.json")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    source = Path(__file__).parents[3] / "python/src"
    shell = f"{sys.executable} -m qwen_runtime plan {' '.join(FLAGSHIP)} | head -c 1"
    done = subprocess.run(
        shell, shell=True, env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    assert (done.stdout, done.stderr) == (b"f", b"")
