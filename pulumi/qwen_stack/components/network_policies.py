"""The network policies component."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from qwen_stack.components.kubernetes import create
from qwen_stack.specs.manifest import Manifest


class NetworkPolicies(pulumi.ComponentResource):
    """Creates the policies that open something before the last one, which closes the rest."""

    def __init__(
        self,
        name: str,
        namespace: pulumi.Input[str],
        policies: Sequence[Manifest],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("qwen-onprem:serving:NetworkPolicies", name, None, opts)
        *opening, closing = policies
        opened = [create(policy, self, namespace) for policy in opening]
        create(closing, self, namespace, depends_on=opened)
        self.register_outputs({})
