"""The model servers component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings.stack import Model
from qwen_stack.specs import autoscaling, model_group
from qwen_stack.specs import model_server as specs
from qwen_stack.specs.manifest import disruption_budget


@dataclass(frozen=True, slots=True)
class ModelServerArgs:
    """`keys` is the Secret with the keys that the engines accept."""

    namespace: pulumi.Input[str]
    model: Model
    image: str
    runtime_class: str
    keys: pulumi.Resource
    prometheus: str
    """Address of Prometheus, which an autoscaler asks."""


class ModelServer(pulumi.ComponentResource):
    def __init__(self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:ModelServer", name, None, opts)
        plan = specs.plan_file(args.model)
        before = [args.keys, *([create(plan, self, args.namespace)] if plan else [])]
        if args.model.nodes_per_replica > 1:
            self._groups(args, before)
            discovery = model_group.discovery(args.model)
        else:
            create(
                specs.deployment(args.model, args.image, args.runtime_class),
                self,
                args.namespace,
                depends_on=before,
                timeout_s=specs.rollout_seconds(args.model),
                # The autoscaler's own from then on.
                begun_with=["spec.replicas"] if args.model.autoscaling else [],
            )
            discovery = specs.discovery(args.model)
            self._autoscaler(args)
        service = create(discovery, self, args.namespace, timeout_s=specs.rollout_seconds(args.model))
        create(specs.watched(args.model), self, args.namespace)
        create(disruption_budget(args.model.server), self, args.namespace)
        self.service_name = name_of(service)
        self.register_outputs({"service_name": self.service_name})

    def _autoscaler(self, args: ModelServerArgs) -> None:
        if args.model.autoscaling:
            create(autoscaling.scaled_object(args.model, args.prometheus), self, args.namespace)

    def _switch(self, args: ModelServerArgs, replica: int) -> None:
        """Lets the requests start and end a group, unless it always runs."""
        if replica >= args.model.fewest_replicas:
            create(autoscaling.scaled_group(args.model, replica, args.prometheus), self, args.namespace)

    def _groups(self, args: ModelServerArgs, before: Sequence[pulumi.Resource]) -> None:
        """Creates the groups one after the other, so that a change stops one group at a time. Each is replaced as a
        whole, because pods of two versions cannot work as one group."""
        for replica in model_group.numbers(args.model):
            create(model_group.meeting_point(args.model, replica), self, args.namespace)
            group = create(
                model_group.stateful_set(args.model, args.image, replica, args.runtime_class),
                self,
                args.namespace,
                depends_on=before,
                timeout_s=specs.replacement_seconds(args.model),
                replaced_by=["spec"],
                begun_with=["spec.replicas"] if replica >= args.model.fewest_replicas else [],
            )
            before = [*before, group]
            self._switch(args, replica)
