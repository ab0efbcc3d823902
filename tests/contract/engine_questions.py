"""A program for the serving environment's Python: do the engines take what was planned?

    python engine_questions.py QUESTIONS

QUESTIONS and the answer, the last line of stdout, are JSON: {"vllm": {name: {"config": {...}, "arguments": [...]}},
"transformers": [...], "environment": [names]}; each engine's answer holds what it read from its arguments, or its
refusal under "error". Needs nothing of this repository, so that it also runs inside a container.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUIET = {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}


def ask_vllm(arguments: Sequence[str], config: dict[str, Any] | None = None) -> dict[str, Any]:
    """The result of vLLM's own parser and checks for `vllm serve DIR` with these arguments; with a config.json, its
    configuration of the model too. That starts a process for each question, which takes seconds."""
    from vllm.config import CacheConfig
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.entrypoints.launchers.launcher import validate_api_server_args
    from vllm.tool_parsers import ToolParserManager
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "config.json").write_text(json.dumps(config))
        complaint = io.StringIO()
        try:
            with contextlib.redirect_stderr(complaint):
                parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model", directory, *arguments])
                validate_parsed_serve_args(parsed)
                validate_api_server_args(parsed)
                CacheConfig(cache_dtype=parsed.kv_cache_dtype, gpu_memory_utilization=parsed.gpu_memory_utilization)
                model = AsyncEngineArgs.from_cli_args(parsed).create_model_config() if config else None
        except SystemExit:
            return {"error": complaint.getvalue().strip().splitlines()[-1]}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
    read = {
        name: getattr(parsed, name)
        for name in (
            *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel"),
            *("nnodes", "node_rank", "master_addr", "master_port", "headless", "served_model_name", "port"),
            *("max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization"),
            *("kv_cache_dtype", "kv_offloading_size", "kv_offloading_backend"),
        )
    }
    parser = parsed.tool_call_parser
    known = parser is None or parser in ToolParserManager.list_registered()
    configured = {}
    if model:
        configured = {"context": model.max_model_len, "quantization": model.quantization}
        configured |= {"latent": model.use_mla, "hybrid": model.is_hybrid}
    return {**read, **configured, "tool_parser_known": known}


def ask_transformers(arguments: Sequence[str]) -> dict[str, Any]:
    """The owner that knows each keyword; the configuration is made with its values, so that it checks them."""
    from transformers import ContinuousBatchingConfig, DistributedConfig, PreTrainedModel

    given = {name: int(value) if value.isdigit() else value for name, value in keywords(arguments).items()}
    owners: dict[str, str | None] = dict.fromkeys(given)
    for configuration in (ContinuousBatchingConfig, DistributedConfig):
        taken = {n: value for n, value in given.items() if n in inspect.signature(configuration).parameters}
        configuration(**taken)
        owners |= dict.fromkeys(taken, configuration.__name__)
    popped = set(inspect.getsource(PreTrainedModel).split('"'))  # from_pretrained takes these out of its **kwargs
    return owners | dict.fromkeys({"dtype", "attn_implementation"} & popped & given.keys(), "from_pretrained")


def count_parameters(config: dict[str, Any]) -> int:
    """Parameters of transformers' own model, buffers that checkpoints store included."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[config["model_type"]](**plain))
    stored = (tensor for name, tensor in model.named_buffers() if "inv_freq" not in name)
    return sum(tensor.numel() for tensor in (*model.parameters(), *stored))


def ask_environment(names: Sequence[str]) -> dict[str, bool]:
    """The environment variables that vLLM reads, of those named."""
    from vllm import envs

    return {name: name in envs.environment_variables for name in names}


def keywords(arguments: Sequence[str]) -> dict[str, str]:
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return {flag.removeprefix("--").replace("-", "_"): value for flag, value in pairs}


def ask_drafts() -> dict[str, list[float]]:
    """Temperatures for two drafts of each of two requests, by vLLM's code for CPUs.

    The requests have 0.0, which 1 stands for, and 0.5; the memory holds -7.
    """
    import torch
    from vllm.platforms.cpu import CpuPlatform
    from vllm.utils import cpu_triton_utils

    CpuPlatform.import_kernels()
    output, temperatures = torch.full((4,), -7.0), torch.tensor([0.0, 0.5])
    cpu_triton_utils._expand_kernel_impl(output, temperatures, torch.tensor([2, 4], dtype=torch.int32), 0, 1)
    return {"temperatures": output.tolist()}


def main() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    questions = json.loads(sys.argv[1])
    answers: dict[str, Any] = {
        "vllm": {name: ask_vllm(**question) for name, question in questions["vllm"].items()},
        "environment": ask_environment(questions["environment"]),
        "transformers": ask_transformers(questions["transformers"]),
        "drafts": ask_drafts(),
        "parameters": {name: count_parameters(config) for name, config in questions["published"].items()},
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
