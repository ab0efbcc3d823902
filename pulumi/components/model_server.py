"""The model servers component."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kubernetes import create, name_of
from settings import Model
from specs import model_server as specs
from specs.manifest import disruption_budget


@dataclass(frozen=True, slots=True)
class ModelServerArgs:
    namespace: pulumi.Input[str]
    model: Model
    image: str


class ModelServer(pulumi.ComponentResource):
    def __init__(self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:ModelServer", name, None, opts)
        create(
            specs.deployment(args.model, args.image),
            self,
            args.namespace,
            timeout_s=specs.rollout_seconds(args.model),
        )
        service = create(specs.discovery(), self, args.namespace, timeout_s=specs.rollout_seconds(args.model))
        create(disruption_budget(specs.NAME), self, args.namespace)
        self.service_name = name_of(service)
        self.register_outputs({"service_name": self.service_name})
