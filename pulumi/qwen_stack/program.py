"""The serving stack: configuration in, components, exports out."""

from __future__ import annotations

import pulumi

from qwen_stack import config, handovers, rollouts
from qwen_stack.components import certificate, cluster, last_run, promotion
from qwen_stack.components.engine_keys import EngineKeys
from qwen_stack.components.evaluation import Evaluation, EvaluationArgs
from qwen_stack.components.gateway import Gateway, GatewayArgs
from qwen_stack.components.judged import Judged
from qwen_stack.components.kubernetes import label_everything, prioritise, pull_with_login
from qwen_stack.components.limits import Limits, LimitsArgs
from qwen_stack.components.model_server import ModelServer, ModelServerArgs
from qwen_stack.components.monitoring import Monitoring, MonitoringArgs
from qwen_stack.components.namespace import Namespace
from qwen_stack.components.network_policies import NetworkPolicies
from qwen_stack.components.node_folders import NodeFolders
from qwen_stack.components.repair import Repair, RepairArgs
from qwen_stack.settings.stack import Model
from qwen_stack.specs import model_server, network_policy, traces
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway.routes import route
from qwen_stack.specs.monitoring import prometheus


def run() -> None:
    settings = config.load(pulumi.Config())
    before = last_run.outputs()
    provider = config.provider()
    belonging = cluster.belonging(settings, before, provider)
    if refused := list(certificate.problems(settings, provider)):
        raise config.ConfigError(refused)
    signed = config.signed_digests(settings)
    serving = promotion.judged(settings, before, config.PROGRAM)
    # Not register_resource_transform: pulumi's mocks know no transforms, and no test would see labels and login.
    pulumi.runtime.register_stack_transformation(label_everything)

    pull_secret = config.pull_secret(settings)
    if pull_secret is not None:
        pulumi.runtime.register_stack_transformation(pull_with_login)

    pulumi.runtime.register_stack_transformation(prioritise(settings.namespace))

    judged = Judged(settings.registry, signed)
    pulumi.runtime.register_stack_transformation(judged.collect)

    namespace = Namespace(settings, pull_secret, signed)

    NetworkPolicies("network-policies", namespace.name, network_policy.policies(network_policy.flows(settings)))

    mounted = [folder for model in settings.models for folder in model_server.folders(model)]
    folders = NodeFolders("node-folders", namespace.name, settings.namespace, mounted)

    engine_keys = EngineKeys("engine-keys", namespace.name, config.engine_keys(settings))

    def serve(model: Model, after: list[pulumi.Resource], to: pulumi.Output[str] = folders.namespace) -> ModelServer:
        args = ModelServerArgs(
            namespace=to,
            model=traces.traced(model, settings),
            image=settings.images.runtime,
            runtime_class=settings.gpu_runtime_class,
            keys=engine_keys.accepted,
            prometheus=f"http://{prometheus.NAME}.{settings.service_domain}:{prometheus.PORT}",
        )
        return ModelServer(model.server, args, pulumi.ResourceOptions(depends_on=after))

    # An entry that shares its name is ready before it gets a weight, and one that lost its weight changes after that.
    servers = {model.server: serve(model, []) for model in settings.models if model.weight != 0}
    weighted: list[pulumi.Resource] = [servers[model.server] for model in settings.models if model.weight]

    if settings.gateway.limits:
        hosts = {upstream.served_as: f"{upstream.host}." for upstream in route(settings).upstreams}
        Limits("limits", LimitsArgs(namespace.name, settings.gateway.limits, hosts, settings.images.runtime))

    gateway = Gateway(
        "gateway",
        GatewayArgs(
            namespace=namespace.name,
            gateway=settings.gateway,
            image=settings.images.gateway,
            files=gateway_config.files(settings.gateway, route(settings)),
            weights=gateway_config.weights(route(settings)),
            api_keys=config.api_keys(settings),
            engine_key=engine_keys.sent,
        ),
        pulumi.ResourceOptions(depends_on=weighted),
    )
    waiting = handovers.waiting(settings, before.get(promotion.OUTPUT) or {}, before.get(handovers.OUTPUT) or {})
    for model in settings.models:
        if model.weight == 0:
            waits = model.server in waiting
            to = gateway.after_weights(folders.namespace) if waits else folders.namespace
            servers[model.server] = serve(model, [gateway], to)

    monitoring = Monitoring("monitoring", MonitoringArgs(namespace=namespace.name, settings=settings))

    if settings.evaluation:
        key = config.evaluation_key(settings, settings.evaluation.key)
        Evaluation("evaluation", EvaluationArgs(namespace.name, settings, settings.evaluation, key))

    if settings.repair:
        Repair("repair", RepairArgs(namespace.name, settings))

    judged.judge()

    pulumi.export(cluster.OUTPUT, belonging)
    pulumi.export("namespace", namespace.name)
    pulumi.export("models", [model.served_name for model in settings.models])
    pulumi.export(promotion.OUTPUT, serving)
    pulumi.export(handovers.OUTPUT, handovers.digests(settings))
    pulumi.export("rollouts", {model.server: str(rollouts.choose(model)) for model in settings.models})
    pulumi.export("modelServices", [servers[model.server].service_name for model in settings.models])
    pulumi.export("gatewayService", gateway.service_name)
    pulumi.export("gatewayNodePort", settings.gateway.service.node_port)
    pulumi.export("prometheusService", monitoring.prometheus_service_name)
    pulumi.export("prometheusNodePort", settings.monitoring.prometheus_node_port)
    pulumi.export("alertmanagerNodePort", settings.monitoring.alertmanager_node_port)
