"""Objects of Kubernetes, collected as they are registered and judged by the policies when all are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from qwen_stack import policies
from qwen_stack.specs.manifest import Manifest


class PolicyError(pulumi.RunError):
    """The stack's objects break a policy; pulumi prints the message without a traceback."""


class Judged:
    """Use `collect` as the last transformation of the stack, so that it sees what goes to the cluster."""

    def __init__(self, registry: str, signed: Sequence[str] | None) -> None:
        self._registry = registry
        self._signed = signed
        self._objects: dict[str, Manifest] = {}

    def collect(self, args: pulumi.ResourceTransformationArgs) -> None:
        if args.type_.startswith("kubernetes:"):
            body: dict[str, Any] = dict(args.props)
            self._objects[f"{args.type_.rpartition(':')[2]}/{args.name}"] = body

    def judge(self) -> None:
        """Raises PolicyError with everything that is wrong."""
        broken = policies.problems(policies.Rendered(self._objects, self._registry, self._signed))
        if broken:
            lines = "\n".join(f"  {problem}" for problem in broken)
            raise PolicyError(f"{len(broken)} problem(s) in the stack's objects:\n{lines}")
