"""Shared parts of the commands: how one is added to the parser, and the types of its options."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Options: TypeAlias = argparse.Namespace

HELP_MODEL = "directory with a manifest.json, or the name of a staged model: see `qwen-runtime models`"


def add(commands: Commands, name: str, run: Callable[[Options], None], summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def add_prometheus(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that asks Prometheus."""
    parser.add_argument(
        "--prometheus", required=True, metavar="URL", help="address of Prometheus, such as http://prometheus:9090"
    )
    parser.add_argument(
        "--login-file", type=Path, metavar="FILE", help="file with USER:PASSWORD, where Prometheus asks for a login"
    )


def port(text: str) -> int:
    number = integer(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; give a number from 1 to 65535")
    return number


def sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256; give its 64 hexadecimal digits")
    return text


def positive(text: str) -> int:
    number = integer(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give a whole number above 0")
    return number


def natural(text: str) -> int:
    number = integer(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is too small; give 0 or a whole number above it")
    return number


def above_zero(text: str) -> float:
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is too small; give a number above 0")
    return value


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
