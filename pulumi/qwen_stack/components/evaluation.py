"""The evaluation component: the monthly job, and the server of its history with its volume."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from qwen_stack.components.kubernetes import create, name_of
from qwen_stack.settings.evaluation import Evaluation as EvaluationSettings
from qwen_stack.settings.stack import Settings
from qwen_stack.specs import evaluation as specs
from qwen_stack.specs import volumes


@dataclass(frozen=True, slots=True)
class EvaluationArgs:
    """`key` is the client's key in base64, marked as a secret."""

    namespace: pulumi.Input[str]
    settings: Settings
    evaluation: EvaluationSettings
    key: pulumi.Output[str]


class Evaluation(pulumi.ComponentResource):
    def __init__(self, name: str, args: EvaluationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("qwen-onprem:serving:Evaluation", name, None, opts)
        settings, storage = args.settings, args.settings.monitoring.storage
        volume = self._volume(args)
        history = specs.history(settings.images.runtime, storage is not None)
        create(history, self, args.namespace, depends_on=volume)
        service = create(specs.discovery(), self, args.namespace)
        key = create(specs.key_secret(args.key), self, args.namespace)
        create(specs.cron_job(settings, args.evaluation), self, args.namespace, depends_on=[key])
        self.service_name = name_of(service)
        self.register_outputs({"service_name": self.service_name})

    def _volume(self, args: EvaluationArgs) -> list[pulumi.Resource]:
        storage, namespace = args.settings.monitoring.storage, args.settings.namespace
        if storage is None:
            return []
        folder = volumes.host_folder(specs.HISTORY, namespace, specs.ROOM, storage)
        made: list[pulumi.Resource] = [create(folder, self)] if folder else []
        claim = volumes.claim(specs.HISTORY, namespace, specs.ROOM, storage)
        return [*made, create(claim, self, args.namespace, depends_on=made)]
