"""Plans are taken by the engines of the locked serving environment: their own parsers say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.engine import vllm
from qwen_runtime.engine.spec import EngineSpec, Rank
from qwen_runtime.plan import Plan, make, plan
from qwen_runtime.sizing import catalogue
from qwen_runtime.sizing.memory import MAX_SEQUENCES

from tests.fakes import planned_sites
from tests.fakes.model_files import W8A8

SCRIPT = Path(__file__).with_name("engine_questions.py")
CODER = "Qwen3-Coder-480B-A35B-Instruct"
# Name to model, GPU, hosts and context.
PLANS = {
    "8 x H100, FP8": (f"{CODER}-FP8", "h100-80gb", 1, 131072),
    "8 x A100, FP8": (f"{CODER}-FP8", "a100-80gb", 1, 65536),
    "2 x 8 x H100, bf16": (CODER, "h100-80gb", 2, 65536),
    "8 x H200, bf16": (CODER, "h200-141gb", 1, 65536),
    "8 x MI300X, FP8": (f"{CODER}-FP8", "mi300x-192gb", 1, 262144),
    "8 x L40S, 30B": ("Qwen3-Coder-30B-A3B-Instruct", "l40s-48gb", 1, 65536),
    "8 x MI300X, 7B": ("Qwen2.5-Coder-7B-Instruct", "mi300x-192gb", 1, 32768),
    "8 x H100, dense": ("Qwen2.5-Coder-32B-Instruct", "h100-80gb", 1, 32768),
}
IN_INT8 = plan(
    make(model="Qwen2.5-Coder-1.5B-Instruct", gpu="cpu", gpus_per_node=1, context_tokens=4096, quantization="int8")
)
# The plan of "8 x H100, FP8" with keys and values in FP8, and with host memory for those that are pushed out.
CACHES: dict[str, dict[str, Any]] = {"cache in FP8": {"kv_cache_dtype": "fp8"}, "host memory": {"offload_gib": 1024}}
OVER_HOSTS = "2 x 8 x H100, bf16"
ARCHITECTURES = {"qwen3_moe": "Qwen3MoeForCausalLM", "qwen2": "Qwen2ForCausalLM"}


def drawn(name: str) -> Plan:
    if name in LAYOUTS:
        return LAYOUTS[name]
    model, gpu, nodes, context = PLANS[name]
    return plan(make(model=model, gpu=gpu, gpus_per_node=8, nodes=nodes, context_tokens=context))


def every_layout() -> dict[str, Plan]:
    """A plan for each layout that the planner chooses on any of many sites."""
    chosen = (plan for gpu in planned_sites.NVIDIA_GPUS for plan in planned_sites.fitting("vllm", gpu))
    return {f"{plan.request.shape.family}: {plan.best.layout.name}": plan for plan in chosen}


LAYOUTS = every_layout()
# Models whose caches or weights follow another formula than Qwen3-Coder-480B's, each on hosts that hold it.
FAMILIES = {
    name: plan(make(model=name, gpu="h200-141gb", gpus_per_node=8, nodes=1))
    for name in (
        "Qwen3-Coder-Next",
        "Qwen3.5-397B-A17B",
        "Qwen3.5-27B",
        "GLM-4.6",
        "DeepSeek-V3",
        "gpt-oss-120b",
        "MiniMax-M2",
        "Devstral-Small-2507",
    )
}


def rank_of(plan: Plan) -> Rank | None:
    nodes = plan.best.layout.nodes_per_replica(plan.request.site)
    return Rank(nodes, 0, "pod-0.group", 29500) if nodes > 1 else None


def command(plan_of_site: Plan, rank: Rank | None) -> list[str]:
    """The command that `qwen-runtime serve --plan` runs on one node, without the program and the model's directory."""
    wishes, planned = plan_of_site.request.wishes, tuple(plan_of_site.launch["vllm"])
    return vllm.command(
        EngineSpec(Path("m"), "coder", 8080, wishes.context_tokens, "bfloat16", planned=planned, rank=rank)
    )[5:]


def config_of(plan_of_site: Plan) -> dict[str, Any]:
    """The model's config.json, as far as an engine reads it before it looks for weights."""
    shape = plan_of_site.request.shape
    config: dict[str, Any] = {
        "architectures": [ARCHITECTURES[shape.family]],
        "model_type": shape.family,
        "torch_dtype": "bfloat16",
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context_tokens,
        "intermediate_size": shape.intermediate,
        "tie_word_embeddings": shape.tied,
    }
    if shape.experts:
        config |= {
            "num_experts": shape.experts,
            "num_experts_per_tok": shape.experts_per_token,
            "moe_intermediate_size": shape.moe_intermediate,
        }
    if shape.fp8_block:
        block = [shape.fp8_block, shape.fp8_block]
        config["quantization_config"] = {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": block,
        }
    if shape.int8:
        config["quantization_config"] = W8A8
    return config


def stretched(directory: Path) -> dict[str, Any]:
    """The whole command of `qwen-runtime serve` for a model whose longest context only YaRN reaches."""
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    config = {**config_of(drawn("8 x MI300X, 7B")), "max_position_embeddings": 32768, "rope_scaling": rope}
    (directory / "config.json").write_text(json.dumps(config))
    return {"config": config, "arguments": vllm.command(EngineSpec(directory, "m", 8080, 131072, "bfloat16"))[5:]}


@pytest.fixture(scope="module")
def answers(ask: Callable[[Path, Any], Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Answers to all questions, by one process: vLLM alone takes half a minute to import."""
    plans = {name: drawn(name) for name in PLANS}
    of_vllm: dict[str, dict[str, Any]] = {
        name: {"config": config_of(plan_of_site), "arguments": plan_of_site.launch["vllm"]}
        for name, plan_of_site in plans.items()
    }
    of_vllm["int8"] = {"config": config_of(IN_INT8), "arguments": IN_INT8.launch["vllm"]}
    for name, layout in LAYOUTS.items():
        of_vllm[name] = {"arguments": command(layout, rank_of(layout))}
    for name, planned in FAMILIES.items():
        of_vllm[name] = {
            "config": {"torch_dtype": "bfloat16", **catalogue.config(name)},
            "arguments": planned.launch["vllm"],
        }
    config = of_vllm["8 x H100, FP8"]["config"]
    of_vllm["misspelt"] = {"config": config, "arguments": ["--tensor-paralel-size", "8"]}
    of_vllm["too long"] = {"config": config, "arguments": ["--max-model-len", "262145"]}
    of_vllm["no parser"] = {"config": config, "arguments": ["--enable-auto-tool-choice"]}
    wrong_parser = ["--enable-auto-tool-choice", "--tool-call-parser", "qwen4_coder"]
    of_vllm["unknown parser"] = {"config": config, "arguments": wrong_parser}
    of_vllm["unknown cache"] = {"config": config, "arguments": ["--kv-cache-dtype", "fp9"]}
    for name, wish in CACHES.items():
        model, gpu, _, context = PLANS["8 x H100, FP8"]
        planned = plan(make(model=model, gpu=gpu, gpus_per_node=8, context_tokens=context, **wish))
        of_vllm[name] = {"config": config, "arguments": planned.launch["vllm"]}
    of_vllm["stretched"] = stretched(tmp_path_factory.mktemp("stretched"))
    for rank in (0, 1):
        planned = plans[OVER_HOSTS]
        config = config_of(planned)
        of_vllm[f"rank {rank}"] = {
            "config": config,
            "arguments": command(planned, Rank(2, rank, "pod-0.group", 29500)),
        }
    questions = {
        "vllm": of_vllm,
        "published": {name: catalogue.config(name) for name in FAMILIES},
        "transformers": plans["8 x MI300X, 7B"].launch["transformers"],
        "environment": ["VLLM_USE_DEEP_GEMM", "VLLM_CPU_KVCACHE_SPACE", "VLLM_NO_SUCH_VARIABLE"],
    }
    return ask(SCRIPT, questions)


@pytest.mark.parametrize("name", [*PLANS, *LAYOUTS])
def test_vllm_reads_the_plan_out_of_its_arguments(answers: dict[str, Any], name: str) -> None:
    plan_of_site, read = drawn(name), answers["vllm"][name]
    layout, wishes = plan_of_site.best.layout, plan_of_site.request.wishes
    assert "error" not in read, read
    assert read["tensor_parallel_size"] == layout.tensor_parallel
    assert read["pipeline_parallel_size"] == layout.pipeline_parallel
    assert read["data_parallel_size"] == layout.attention_groups
    assert bool(read["enable_expert_parallel"]) == (layout.expert_parallel > 1)
    assert read["nnodes"] == layout.nodes_per_replica(plan_of_site.request.site)
    assert read["max_model_len"] == read.get("context", wishes.context_tokens) == wishes.context_tokens
    assert read["max_num_seqs"] == MAX_SEQUENCES
    assert read["max_num_batched_tokens"] == 8192
    assert read["gpu_memory_utilization"] == plan_of_site.request.utilization
    assert read["tool_parser_known"]


@pytest.mark.parametrize("name", FAMILIES)
def test_vllm_and_transformers_know_each_family_as_it_was_planned(answers: dict[str, Any], name: str) -> None:
    read, shape = answers["vllm"][name], FAMILIES[name].request.shape
    assert "error" not in read, read
    assert (read["latent"], read["hybrid"]) == (shape.latent is not None, shape.linear is not None)
    assert read["context"] == FAMILIES[name].request.wishes.context_tokens
    assert read["tensor_parallel_size"] == FAMILIES[name].best.layout.tensor_parallel
    assert answers["parameters"][name] == shape.parameters


@pytest.mark.parametrize("name", PLANS)
def test_vllm_finds_the_planned_form_of_the_weights(answers: dict[str, Any], name: str) -> None:
    assert answers["vllm"][name]["quantization"] == ("fp8" if drawn(name).request.shape.fp8_block else None)


def test_drafts_are_refused_on_a_cpu_as_long_as_vllm_leaves_their_temperatures_unwritten(
    answers: dict[str, Any],
) -> None:
    """Right would be 1, 1, 0.5, 0.5: a version that gives them needs the refusal in engine/vllm.py no longer."""
    assert answers["drafts"]["temperatures"] == [-7.0] * 4


def test_vllm_finds_int8_in_what_llm_compressor_wrote(answers: dict[str, Any]) -> None:
    assert answers["vllm"]["int8"]["quantization"] == "compressed-tensors"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("misspelt", "--tensor-paralel-size"),
        ("too long", "262144"),
        ("no parser", "--tool-call-parser"),
        ("unknown parser", "invalid tool call parser: qwen4_coder"),
        ("unknown cache", "fp9"),
    ],
)
def test_vllm_refuses_what_is_wrong_so_that_its_agreement_means_something(
    answers: dict[str, Any], name: str, message: str
) -> None:
    assert message in answers["vllm"][name]["error"]


def test_vllm_takes_the_planned_cache(answers: dict[str, Any]) -> None:
    in_fp8, offloaded = (answers["vllm"][name] for name in CACHES)
    assert (in_fp8["kv_cache_dtype"], in_fp8["kv_offloading_size"]) == ("fp8", None)
    assert (offloaded["kv_cache_dtype"], offloaded["kv_offloading_size"]) == ("auto", 1024)
    assert offloaded["kv_offloading_backend"] == "native"


def test_vllm_takes_the_context_that_only_yarn_reaches(answers: dict[str, Any]) -> None:
    read = answers["vllm"]["stretched"]
    assert "error" not in read, read
    assert read["context"] == 131072


@pytest.mark.parametrize("rank", [0, 1])
def test_vllm_reads_the_rank_out_of_the_whole_command_that_serve_runs(answers: dict[str, Any], rank: int) -> None:
    read = answers["vllm"][f"rank {rank}"]
    assert "error" not in read, read
    assert (read["nnodes"], read["node_rank"], read["headless"]) == (2, rank, rank > 0)
    assert (read["master_addr"], read["master_port"]) == ("pod-0.group", 29500)
    assert (read["served_model_name"], read["port"]) == (["coder"], 8080)
    assert (read["tensor_parallel_size"], read["pipeline_parallel_size"]) == (8, 2)


def test_vllm_reads_the_planned_environment(answers: dict[str, Any]) -> None:
    known = answers["environment"]
    assert (known["VLLM_USE_DEEP_GEMM"], known["VLLM_CPU_KVCACHE_SPACE"], known["VLLM_NO_SUCH_VARIABLE"]) == (
        True,
        True,
        False,
    )


def test_transformers_knows_every_planned_keyword(answers: dict[str, Any]) -> None:
    owners = answers["transformers"]
    assert owners["num_blocks"] == owners["page_size"] == owners["max_batch_tokens"] == "ContinuousBatchingConfig"
    assert None not in owners.values()
