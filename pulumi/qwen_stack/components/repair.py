"""The repair component: the controller, its account and its rights."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import repair as specs


@dataclass(frozen=True, slots=True)
class RepairArgs:
    namespace: pulumi.Input[str]
    settings: Settings


class Repair(pulumi.ComponentResource):
    def __init__(self, name: str, args: RepairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:repair:Repair", name, None, opts)
        settings = args.settings
        before: list[pulumi.Resource] = [
            create(specs.config(settings), self, args.namespace),
            create(specs.account(), self, args.namespace),
            create(specs.role(settings), self),
            create(specs.binding(settings), self),
        ]
        if specs.acts(settings):
            before.append(create(specs.own_role(), self, args.namespace))
            before.append(create(specs.own_binding(settings), self, args.namespace))
        create(specs.deployment(settings), self, args.namespace, depends_on=before)
        create(specs.discovery(), self, args.namespace)
        self.register_outputs({})
