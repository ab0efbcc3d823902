"""The namespace component."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from qwen_stack.components.kubernetes import create, name_of, namespace_of
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import admission, priority, registry
from qwen_stack.specs import namespace as specs


class Namespace(pulumi.ComponentResource):
    """`name` is known once the namespace, its bounds, and the priorities, the login and the admission of pods exist.

    What uses it waits for that.
    """

    name: pulumi.Output[str]

    def __init__(
        self,
        settings: Settings,
        pull_secret: pulumi.Output[str] | None,
        signed: Sequence[str] | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("qwen-onprem:serving:Namespace", settings.namespace, None, opts)
        admitted = [] if signed is None else admission.manifests(settings.namespace, signed)
        first = [create(manifest, self) for manifest in (*priority.classes(settings.namespace), *admitted)]
        self.name = name_of(create(specs.namespace(settings.namespace), self, depends_on=first))
        for bound in (specs.limit_range(), specs.quota(settings)):
            self.name = namespace_of(create(bound, self, self.name))
        if pull_secret is not None:
            self.name = namespace_of(create(registry.pull_secret(pull_secret), self, self.name))
        self.register_outputs({"name": self.name})
