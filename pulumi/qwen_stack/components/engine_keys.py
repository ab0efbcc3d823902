"""The component of the key between gateways and engines."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from qwen_stack.components.kubernetes import create
from qwen_stack.specs import engine_keys as specs


class EngineKeys(pulumi.ComponentResource):
    """Two Secrets: `accepted` of the engines, `sent` of the gateways."""

    def __init__(
        self,
        name: str,
        namespace: pulumi.Input[str],
        keys: pulumi.Output[Sequence[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("qwen-onprem:serving:EngineKeys", name, None, opts)
        digests, sent = (keys.apply(file).apply(specs.encoded) for file in (specs.digests, specs.sent))
        self.accepted = create(specs.accepted_secret(digests), self, namespace)
        self.sent = create(specs.sent_secret(sent), self, namespace)
        self.register_outputs({})
