"""The server's own flags: what plans emit for this engine, and what its people may set after `--`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from qwen_runtime.engine.transformers.admission import Limits
from qwen_runtime.errors import UsageError

PAGE_TOKENS = 32
"""Tokens of a page of the KV cache."""
SEQUENCES = 8
"""Requests of the whole context that have a place in the KV cache where neither plan nor flag says otherwise."""
MAX_BATCH_TOKENS = 512
"""A long prompt passes in steps of so many tokens, so that answers beside it go on; plans say more for GPUs."""


@dataclass(frozen=True, slots=True)
class Flags:
    model_dir: Path
    served_model_name: str
    host: str
    port: int
    dtype: str
    attention: str | None
    quantization: str | None
    limits: Limits
    max_batch_tokens: int
    request_timeout_s: float
    tensor_parallel: int
    """Ranks that share every layer."""
    expert_parallel: int
    pipeline_parallel: int
    """Ranks that have whole layers, each some of them. One of this and tensor_parallel is 1."""

    @property
    def ranks(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel


def parse(arguments: Sequence[str]) -> Flags:
    """UsageError where a flag is not known, or where flags contradict each other."""
    parser = _Parser(prog="qwen-runtime serve --engine transformers", allow_abbrev=False)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=_positive, required=True)
    parser.add_argument("--max-model-len", type=_positive, required=True, help="tokens of prompt and answer together")
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--attn-implementation", help="default: flash attention where the GPU has it, else sdpa")
    parser.add_argument("--quantization", help="default: the checkpoint's own")
    parser.add_argument("--page-size", type=_positive, default=PAGE_TOKENS, help="tokens of a page of the KV cache")
    parser.add_argument(
        "--num-blocks", type=_positive, help=f"pages; default: {SEQUENCES} requests of the whole context"
    )
    parser.add_argument("--max-batch-tokens", type=_positive, default=MAX_BATCH_TOKENS, help="most tokens of one step")
    parser.add_argument("--max-waiting", type=int, default=256, help="requests that wait; more get 429")
    parser.add_argument("--request-timeout-s", type=float, default=600.0, help="from arrival to the last token")
    parser.add_argument("--tp-size", type=_positive, default=1, help="ranks that share every layer")
    parser.add_argument("--ep-size", type=_positive, default=1, help="ranks that share the experts: 1 or --tp-size")
    parser.add_argument("--pp-size", type=_positive, default=1, help="ranks that have whole layers, each some of them")
    options = parser.parse_args(arguments)
    _check_ranks(options)
    context_pages = -(-options.max_model_len // options.page_size)
    pages = SEQUENCES * context_pages if options.num_blocks is None else options.num_blocks
    if pages < context_pages:
        raise UsageError(
            f"--num-blocks {pages} of {options.page_size} tokens hold {pages * options.page_size} tokens",
            f"at least --max-model-len, {options.max_model_len}",
            "Raise the one or lower the other.",
        )
    return Flags(
        model_dir=options.model_dir,
        served_model_name=options.served_model_name,
        host=options.host,
        port=options.port,
        dtype=options.dtype,
        attention=options.attn_implementation,
        quantization=options.quantization,
        limits=Limits(options.max_model_len, pages, options.page_size, options.max_waiting),
        max_batch_tokens=options.max_batch_tokens,
        request_timeout_s=options.request_timeout_s,
        tensor_parallel=options.tp_size,
        expert_parallel=options.ep_size,
        pipeline_parallel=options.pp_size,
    )


class _Parser(argparse.ArgumentParser):
    """Raises its errors: the supervisor and the stack's program ask it too, and must not end with it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"arguments of engine transformers: {message}",
            "flags that docs/engines.md lists, with their values",
            "Correct what stands after --, or extraArgs.",
        )


def _check_ranks(options: argparse.Namespace) -> None:
    if options.pp_size > 1 and options.tp_size > 1:
        raise UsageError(
            f"--pp-size {options.pp_size} with --tp-size {options.tp_size}",
            "one of the two: engine transformers divides a model by its layers or within each of them",
            "Leave one of them out, or serve with engine vllm.",
        )
    if options.ep_size not in (1, options.tp_size):
        raise UsageError(
            f"--ep-size {options.ep_size} with --tp-size {options.tp_size}",
            "1, or as many ranks as share the layers",
            "Correct the one or the other.",
        )
    ranks = options.tp_size * options.pp_size
    if options.quantization is not None and ranks > 1:
        raise UsageError(
            f"--quantization {options.quantization} over {ranks} ranks",
            "one of the two: only weights as they are stored are divided over ranks",
            "Leave one of them out.",
        )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give a whole number above 0")
    return number
