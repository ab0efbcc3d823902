"""The limiter component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings.stack import GatewayLimits
from qwen_stack.specs import limits as specs


@dataclass(frozen=True, slots=True)
class LimitsArgs:
    """`image` is that of the model servers, which has the limiter's program; `hosts` are their names by served name."""

    namespace: pulumi.Input[str]
    limits: GatewayLimits
    hosts: Mapping[str, str]
    image: str


class Limits(pulumi.ComponentResource):
    def __init__(self, name: str, args: LimitsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:Limits", name, None, opts)
        config = create(specs.config(args.limits, args.hosts), self, args.namespace)
        create(specs.deployment(args.image), self, args.namespace, depends_on=[config])
        service = create(specs.discovery(), self, args.namespace)
        self.service_name = name_of(service)
        self.register_outputs({"service_name": self.service_name})
