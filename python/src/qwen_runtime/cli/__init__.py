"""Plans, verified weights and a supervised engine.

Exit codes: 0 done, 2 wrong command, 3 weights that are wrong or hosts that do not fit the plan, 4 host, 5 engine,
6 a candidate that may not be promoted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from qwen_runtime import __version__
from qwen_runtime.cli import (
    bench,
    chat,
    compare,
    dashboards,
    evaluate,
    gate,
    history,
    limits,
    models,
    plan,
    repair,
    score,
    serve,
    top,
    warm,
    weights,
)
from qwen_runtime.errors import Error


def main(argv: Sequence[str] | None = None) -> int:
    # The kernel does not deliver a signal to process 1 of a container unless there is a handler for it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    arguments = list(sys.argv[1:] if argv is None else argv)
    extra: list[str] = []
    if "--" in arguments:
        border = arguments.index("--")
        arguments, extra = arguments[:border], arguments[border + 1 :]
    parser = build_parser()
    options = parser.parse_args(arguments)
    if extra and options.run is not serve.run:
        parser.error("only `serve` takes arguments after --")
    options.extra = tuple(extra)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, is gone; the flush at exit must not write to it either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Error as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130  # the exit code that shells use
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen-runtime", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        plan,
        serve,
        warm,
        score,
        weights,
        models,
        chat,
        bench,
        compare,
        evaluate,
        gate,
        history,
        limits,
        repair,
        dashboards,
        top,
    ):
        command.add_to(commands)
    return parser
