"""The program inside the sandbox: it defines what a model wrote, and calls it with literals. Standard library only.

The first line on stdin is JSON with `program`, `entry_point` and `limits`. Each further line is the literal of the
arguments of one call. Each is answered by one line: JSON with `value`, the literal of the result, or `raised`. Answers
go to a file descriptor that nothing prints to; what the program prints goes nowhere.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import sys
from typing import Any


def limit(limits: dict[str, int]) -> None:
    """Set the limits for this process and all that it starts; they cannot be raised again."""
    for name, value in limits.items():
        # The lower limit of processor time ends a program by a signal of its own, the higher one without a word.
        resource.setrlimit(getattr(resource, name), (value, value + (name == "RLIMIT_CPU")))


def call(function: Any, line: str) -> dict[str, str]:
    try:
        arguments, named = ast.literal_eval(line)
        return {"value": repr(function(*arguments, **named))}
    except BaseException as error:
        return {"raised": type(error).__name__}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    questions = sys.stdin
    first = json.loads(questions.readline())
    sys.stdin = open(os.devnull)  # noqa: SIM115  open as long as the program
    limit(first["limits"])
    names: dict[str, Any] = {"__name__": "__candidate__"}
    try:
        exec(compile(first["program"], "candidate", "exec"), names)
        function, problem = names[first["entry_point"]], None
    except BaseException as error:
        function, problem = None, {"raised": type(error).__name__}
    for line in questions:
        print(json.dumps(problem or call(function, line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
