"""The options of commands that talk to an endpoint."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from qwen_runtime.errors import UsageError


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--endpoint",
        default=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        metavar="URL",
        help="default: OPENAI_BASE_URL, or %(default)s",
    )
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="default: the key in OPENAI_API_KEY")
    parser.add_argument("--model", metavar="NAME", help="default: the first that the endpoint lists")
    parser.add_argument("--variant", metavar="NAME", help="the entry that is to answer, where several share the name")


def api_key(file: Path | None) -> str:
    if file is None:
        return os.environ.get("OPENAI_API_KEY", "")
    try:
        return file.read_text().strip()
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read ({error.strerror})", "a file with an API key", "Correct it."
        ) from error
