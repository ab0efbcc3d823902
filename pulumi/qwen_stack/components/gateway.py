"""The gateway component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings import Gateway as GatewaySettings
from qwen_stack.specs import engine_keys
from qwen_stack.specs import gateway as specs
from qwen_stack.specs.manifest import disruption_budget


@dataclass(frozen=True, slots=True)
class GatewayArgs:
    """`files` are those that Envoy runs with, by name. `api_keys` maps names to keys. `engine_key` is the Secret
    with the key that the gateways send. A new gateway waits for replicas of `servers`."""

    namespace: pulumi.Input[str]
    gateway: GatewaySettings
    image: str
    files: Mapping[str, str]
    api_keys: pulumi.Output[Mapping[str, str]]
    engine_key: pulumi.Resource
    servers: Sequence[str]


class Gateway(pulumi.ComponentResource):
    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:Gateway", name, None, opts)
        clients = args.api_keys.apply(specs.clients_map)
        config_map = specs.config_map(args.files)
        config = create(config_map, self, args.namespace)
        secret = create(specs.clients_secret(clients.apply(engine_keys.encoded)), self, args.namespace)
        deployment = specs.deployment(args.gateway, args.image, config_map["metadata"]["name"], args.servers)
        create(deployment, self, args.namespace, depends_on=[config, secret, args.engine_key])
        service = create(specs.gateway_service(args.gateway), self, args.namespace)
        create(specs.metrics_service(), self, args.namespace)
        create(disruption_budget(specs.NAME), self, args.namespace)
        self.service_name = name_of(service)
        self.register_outputs({"service_name": self.service_name})
