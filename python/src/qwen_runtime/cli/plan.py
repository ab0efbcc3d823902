"""`qwen-runtime plan`: whether a model fits these GPUs, how, and how fast it will be."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qwen_runtime.cli.common import Commands, Options, above_zero, add, natural, number, positive
from qwen_runtime.engine.registry import ENGINES, SERVES_BY_DEFAULT
from qwen_runtime.errors import PlanError, UsageError
from qwen_runtime.extras import EVALUATION, require
from qwen_runtime.plan.speculation import METHODS
from qwen_runtime.plan.workload import PROFILES, USUAL_PROFILE
from qwen_runtime.units import GIGA, TERA, gib


def add_to(commands: Commands) -> None:
    plan = add(
        commands,
        "plan",
        run,
        "say whether a model fits these GPUs, how, and how fast it will be (exit 3: it does not fit)",
    )
    plan.add_argument(
        "--model", metavar="NAME|DIR", help="a name that `models` lists, or a directory with a config.json"
    )
    plan.add_argument(
        "--gpu",
        metavar="NAME",
        help="a name that --list-gpus lists, such as h100-80gb; for hosts without one cpu or cpu-float32, or host: the "
        "host itself, by its instructions and its memory's measured speed",
    )
    plan.add_argument(
        "--gpus-per-node", type=positive, metavar="N", help="GPUs in each host, joined by their fast link"
    )
    plan.add_argument("--nodes", type=positive, metavar="N", help="hosts (default: 1, or those that --developers need)")
    plan.add_argument(
        "--developers", type=positive, metavar="N", help="size the hosts for the busy hour of so many people"
    )
    plan.add_argument(
        "--profile", choices=list(PROFILES), help=f"what they send, with published figures (default: {USUAL_PROFILE})"
    )
    plan.add_argument("--turns-per-hour", type=above_zero, metavar="R", help="requests of one of them in that hour")
    plan.add_argument("--wait-s", type=above_zero, metavar="S", help="from an answer to the next turn: tools, people")
    plan.add_argument(
        "--cached-share", type=part, metavar="SHARE", help="of a prompt, what the prefix cache has (default: 0)"
    )
    plan.add_argument(
        "--spare", type=natural, default=0, metavar="N", help="of these hosts, how many are kept free (default: 0)"
    )
    plan.add_argument("--layout", metavar="NAME", help="take this one, such as TP8xEP8, whatever its speed")
    plan.add_argument(
        "--quantization",
        choices=["bf16", "fp8", "mxfp4", "int8"],
        help="form of the weights (default: the checkpoint's)",
    )
    plan.add_argument(
        "--kv-cache-dtype",
        choices=["auto", "fp8"],
        default="auto",
        help="form of keys and values (default: the model's)",
    )
    plan.add_argument(
        "--kv-offload-gib",
        type=natural,
        default=0,
        metavar="GIB",
        help="memory of a host for what the KV cache pushes out",
    )
    plan.add_argument("--speculative", choices=list(METHODS), help="predict with drafts by this method")
    plan.add_argument("--engine", choices=list(ENGINES), default=SERVES_BY_DEFAULT)
    plan.add_argument("--context", type=positive, metavar="TOKENS", help="longest prompt plus answer (default: 65536)")
    plan.add_argument("--input-tokens", type=positive, metavar="N", help="length of a usual prompt (default: 1000)")
    plan.add_argument("--output-tokens", type=positive, metavar="N", help="length of a usual answer (default: 1000)")
    plan.add_argument(
        "--longest-answer",
        type=positive,
        metavar="TOKENS",
        help="longest answer that a rollout may not cut (default: 65536, or the context)",
    )
    plan.add_argument("--concurrency", type=positive, metavar="N", help="requests in flight at the site (default: 16)")
    plan.add_argument("--target-tokens-per-s-per-gpu", type=above_zero, metavar="R", help="(default: 300)")
    plan.add_argument(
        "--target-latency-ms", type=above_zero, metavar="MS", help="time to the first token (default: 500)"
    )
    plan.add_argument(
        "--memory-gib", type=above_zero, metavar="GIB", help="usable memory of a GPU, if not the catalogue's"
    )
    plan.add_argument(
        "--gpu-memory-utilization", type=share, default=0.9, metavar="SHARE", help="share of that memory for the engine"
    )
    plan.add_argument("--json", action="store_true", help="the whole plan, for programs")
    plan.add_argument("--html", type=Path, metavar="FILE", help="write the plan as a page for a browser too")
    plan.add_argument(
        "--read",
        type=Path,
        metavar="FILE",
        help="show a plan that was written with --json; with --json, what programs take from it",
    )
    plan.add_argument("--list-gpus", action="store_true", help="GPUs known by name")


def share(text: str) -> float:
    value = number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; give a number above 0 and at most 1")
    return value


def part(text: str) -> float:
    value = number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; give 0 or a number between 0 and 1")
    return value


def run(options: Options) -> None:
    if options.list_gpus:
        _list_gpus(options)
        return
    if options.read:
        _read(options)
        return
    missing = [flag for flag in ("model", "gpu", "gpus_per_node") if getattr(options, flag) is None]
    if missing:
        raise UsageError(
            f"no {', '.join('--' + flag.replace('_', '-') for flag in missing)}",
            "a model and the GPUs to plan it for",
            "Add them; `qwen-runtime models` and --list-gpus name those that are known.",
        )
    from qwen_runtime import plan
    from qwen_runtime.plan import people, table
    from qwen_runtime.sizing import processor

    request = plan.make(
        model=options.model,
        gpu=options.gpu,
        gpus_per_node=options.gpus_per_node,
        nodes=options.nodes,
        quantization=options.quantization,
        context_tokens=options.context,
        input_tokens=options.input_tokens,
        output_tokens=options.output_tokens,
        longest_answer_tokens=options.longest_answer,
        concurrency=options.concurrency,
        tokens_per_s_per_gpu=options.target_tokens_per_s_per_gpu,
        latency_s=options.target_latency_ms / 1000 if options.target_latency_ms else None,
        engine=options.engine,
        utilization=options.gpu_memory_utilization,
        memory_gib=options.memory_gib,
        spare=options.spare,
        layout=options.layout,
        kv_cache_dtype=options.kv_cache_dtype,
        offload_gib=options.kv_offload_gib,
        speculative=options.speculative,
        cached_share=options.cached_share,
        developers=options.developers,
        profile=options.profile,
        turns_per_hour=options.turns_per_hour,
        wait_s=options.wait_s,
    )
    told = request.gpu.vendor == "cpu" and not request.gpu.found
    if told and (this := processor.here()) and (advice := this.advice(request.gpu.name)):
        print(f"note: {advice}", file=sys.stderr)
    sized = people.size(request, options.nodes) if request.workload else None
    document = plan.build(plan.plan(sized.request if sized else request), sized)
    if options.html and document["fits"]:
        _write_page(document, options.html)
    print(plan.dumps(document) if options.json else table.render(document))
    if not document["fits"]:
        raise PlanError(**document["problem"])


def _read(options: Options) -> None:
    from qwen_runtime import plan
    from qwen_runtime.plan import table

    document = plan.read(options.read)
    written = json.loads(options.read.read_bytes())
    if options.html:
        _write_page(written, options.html)
    print(json.dumps(asdict(document)) if options.json else table.render(written))


def _write_page(document: dict[str, Any], path: Path) -> None:
    """Write the page, whole or not at all."""
    require(EVALUATION, "matplotlib")
    from qwen_runtime.plan import page

    text = page.render(document)
    try:
        path.write_text(text)
    except OSError as error:
        raise UsageError(
            f"--html {path} cannot be written ({error.strerror})", "a file in a folder that exists", "Correct the path."
        ) from error


def _list_gpus(options: Options) -> None:
    from qwen_runtime.sizing import gpus

    if options.json:
        print(json.dumps([asdict(gpu) for gpu in gpus.GPUS], indent=1))
        return
    for gpu in gpus.GPUS:
        fp8 = f"{gpu.fp8_flops / TERA:.0f}" if gpu.fp8_flops else "no"
        memory = f"{gib(gpu.usable_bytes):>9} usable {gpu.bandwidth_bytes_per_s / GIGA:6.0f} GB/s"
        speed = f"{gpu.bf16_flops / TERA:6.4g} TFLOP/s bf16 {fp8:>5} fp8  link {gpu.link_bytes_per_s / GIGA:.0f} GB/s"
        print(f"{gpu.name:14} {memory}  {speed}  {gpu.compute_capability}")
