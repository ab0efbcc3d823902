"""The gateway component."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings.stack import Gateway as GatewaySettings
from qwen_stack.specs import engine_keys
from qwen_stack.specs.gateway import workload as specs
from qwen_stack.specs.manifest import disruption_budget

HEARD_WITHIN_S = 10
"""Time in which all gateways have a change of weights, on hosts whose kubelets look after their pods every 2 s."""


@dataclass(frozen=True, slots=True)
class GatewayArgs:
    """`files` are those that Envoy starts with, by name, and `weights` those that it reads again. `api_keys` maps names
    to keys. `engine_key` is the Secret with the key that the gateways send."""

    namespace: pulumi.Input[str]
    gateway: GatewaySettings
    image: str
    files: Mapping[str, str]
    weights: Mapping[str, str]
    api_keys: pulumi.Output[Mapping[str, str]]
    engine_key: pulumi.Resource


class Gateway(pulumi.ComponentResource):
    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:Gateway", name, None, opts)
        clients = args.api_keys.apply(specs.clients_map)
        maps = [specs.config_map(args.files), specs.weights_map(args.weights, args.files)]
        config = [create(each, self, args.namespace) for each in maps]
        secret = create(specs.clients_secret(clients.apply(engine_keys.encoded)), self, args.namespace)
        deployment = specs.deployment(args.gateway, args.image, *(each["metadata"]["name"] for each in maps))
        create(deployment, self, args.namespace, depends_on=[*config, secret, args.engine_key])
        service = create(specs.gateway_service(args.gateway), self, args.namespace)
        create(specs.metrics_service(), self, args.namespace)
        create(disruption_budget(specs.NAME), self, args.namespace)
        self.service_name = name_of(service)
        self._weights_name = name_of(config[1])
        self.register_outputs({"service_name": self.service_name})

    def after_weights(self, value: pulumi.Output[str]) -> pulumi.Output[str]:
        """The value, known once all gateways have read the weights of this run."""

        async def heard(known: Sequence[str]) -> str:
            if not pulumi.runtime.is_dry_run():
                await sleep(HEARD_WITHIN_S)
            return known[0]

        return pulumi.Output.all(value, self._weights_name).apply(heard)
