"""The whole program with recorded resources; only pulumi's engine and the cluster are missing."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi

from qwen_stack import config
from qwen_stack.components import cluster, kubectl

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"
PROJECT = "qwen-onprem"
CLUSTER_UID = "0b5a1e52-6b1f-4a39-9d0f-0c1f2f0c6b11"
SECRET_MARKER = "4dabf18193072939515e22adb298388d"  # pulumi marks a secret value with it
Objects = dict[str, pulumi.runtime.MockResourceArgs]


class Recorder(pulumi.runtime.Mocks):
    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs
        self.resources: list[pulumi.runtime.MockResourceArgs] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(args)
        return f"{args.name}-id", args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        if args.token == "pulumi:pulumi:readStackOutputs":
            return {"outputs": self.outputs}, []
        raise AssertionError(f"the program calls {args.token}, which needs a cluster")


def run_program(
    values: dict[str, Any],
    plain: Collection[str] = (),
    outputs: dict[str, Any] | None = None,
    cluster_uid: str = CLUSTER_UID,
    secrets: Mapping[str, Any] | None = None,
) -> Objects:
    """Objects of Kubernetes by kind and name. Every key that holds a secret is encrypted, except those in `plain`.
    `outputs` are those of the stack's last run, `cluster_uid` is what the cluster answers, and
    `secrets` are the Secrets that it has in any namespace."""
    recorder = Recorder(outputs or {})
    pulumi.runtime.set_mocks(recorder, project=PROJECT, stack="any")
    texts = {f"{PROJECT}:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}
    encrypted = {path.partition(".")[0] for path in config.SECRETS} - set(plain)
    pulumi.runtime.set_all_config(texts, [f"{PROJECT}:{key}" for key in encrypted])

    @pulumi.runtime.test
    def program() -> None:
        runpy.run_path(str(PROGRAM / "__main__.py"), run_name="__main__")

    def read(_provider: Mapping[str, str], path: str) -> Any:
        if path == cluster.NAMESPACE:
            return {"metadata": {"uid": cluster_uid}}
        kind, name = path.split("/")[-2:]
        assert kind == "secrets"
        return (secrets or {}).get(name)

    with patch.object(kubectl, "read", read):
        program()
    objects = (args for args in recorder.resources if args.typ.startswith("kubernetes:"))
    return {f"{args.typ.rpartition(':')[2]}/{args.name}": args for args in objects}


def makes_pods(args: pulumi.runtime.MockResourceArgs) -> bool:
    """Whether an object makes pods."""
    return "template" in args.inputs.get("spec", {})


def pods(built: Objects) -> dict[str, Any]:
    """The specification of each workload's pods."""
    return {name: args.inputs["spec"]["template"]["spec"] for name, args in built.items() if makes_pods(args)}


def names(stack: Iterable[str]) -> set[str]:
    """Names of a stack's objects, with `<digest>` for that of a plan, the gateway's files, a folder or DCGM's list."""
    return {re.sub("(plan|config|counters|weights)-[0-9a-f]{8,10}$", r"\1-<digest>", name) for name in stack}
