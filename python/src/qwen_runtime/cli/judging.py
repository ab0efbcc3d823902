"""The frame of every suite of `qwen-runtime evaluate`: common options, the endpoint, and the document of a result."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime.cli.common import Options, above_zero, positive
from qwen_runtime.cli.documents import refuse_output, write
from qwen_runtime.cli.endpoint import add_endpoint, api_key
from qwen_runtime.extras import EVALUATION, require

if TYPE_CHECKING:
    from qwen_runtime.endpoint.address import Endpoint
    from qwen_runtime.endpoint.exchange import Patience


@dataclass(frozen=True, slots=True)
class Subject:
    """An endpoint that has described itself, and the patience that a suite has with it."""

    endpoint: Endpoint
    patience: Patience


Suite = Callable[[Subject], Awaitable[dict[str, Any]]]
"""Asks a subject everything; returns the parts of its document below the head."""


def add_options(suite: argparse.ArgumentParser) -> None:
    add_endpoint(suite)
    suite.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON with every problem")
    suite.add_argument("--hardware", required=True, metavar="TEXT", help="what serves it, such as '8 x h100-80gb'")
    suite.add_argument("--users", type=positive, default=8, metavar="N", help="requests at once (default: %(default)s)")
    suite.add_argument("--silent-s", type=above_zero, default=60.0, metavar="S", help="silence that counts as a stall")
    suite.add_argument("--longest-s", type=above_zero, default=900.0, metavar="S", help="end of any request")


def refuse(options: Options, *modules: str) -> None:
    """Raise, before anything is asked, where a package is absent or the output cannot be written."""
    require(EVALUATION, "aiohttp", *modules)
    refuse_output(options.output)


def judge(kind: str, options: Options, suite: Suite) -> dict[str, Any]:
    """The document of a suite, which is written to --output when it is whole."""
    document = asyncio.run(_document(kind, options, suite))
    write(options.output, document)
    return document


async def _document(kind: str, options: Options, suite: Suite) -> dict[str, Any]:
    from qwen_runtime.bench import document
    from qwen_runtime.endpoint import address
    from qwen_runtime.endpoint.exchange import Patience

    key = api_key(options.api_key_file)
    description = await address.describe(options.endpoint, key, options.model, options.variant)
    endpoint = address.Endpoint(options.endpoint.rstrip("/"), key, description.model, options.variant)
    started = document.now()
    parts = await suite(Subject(endpoint, Patience(options.silent_s, options.longest_s)))
    return {
        "format": document.FORMAT,
        "kind": kind,
        "started": started,
        "ended": document.now(),
        "harness": document.harness(),
        "subject": document.subject(options.endpoint, description, options.hardware, None),
        **parts,
    }
