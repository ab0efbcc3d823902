"""The namespace component."""

from __future__ import annotations

import pulumi

from components.kubernetes import create, name_of
from specs import namespace as specs


class Namespace(pulumi.ComponentResource):
    """`name` is known only once the namespace exists, so that whoever uses it waits."""

    name: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:Namespace", name, None, opts)
        self.name = name_of(create(specs.namespace(name), self))
        self.register_outputs({"name": self.name})
