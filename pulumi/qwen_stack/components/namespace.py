"""The namespace component."""

from __future__ import annotations

import pulumi

from qwen_stack.components.kubernetes import create, name_of, namespace_of
from qwen_stack.specs import namespace as specs
from qwen_stack.specs import registry


class Namespace(pulumi.ComponentResource):
    """`name` is known once the namespace and the login of its pods exist, so what uses it waits for that."""

    name: pulumi.Output[str]

    def __init__(
        self, name: str, pull_secret: pulumi.Output[str] | None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("qwen-onprem:serving:Namespace", name, None, opts)
        self.name = name_of(create(specs.namespace(name), self))
        if pull_secret is not None:
            self.name = namespace_of(create(registry.pull_secret(pull_secret), self, self.name))
        self.register_outputs({"name": self.name})
