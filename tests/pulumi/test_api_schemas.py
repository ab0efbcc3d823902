"""Every object of every stack is one that the API's own schemas take, down to the last field."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from .planned_stacks import Values, with_entry
from .recorded_stack import SECRET_MARKER, Objects, run_program

VERSION = yaml.safe_load((Path(__file__).parents[2] / "versions.yml").read_text())["versions"]["kubernetes"]["version"]
TWO_HOSTS = {"gpusPerReplica": 16, "nodesPerReplica": 2, "rdmaResource": "rdma/hca_shared_devices"}


def plain(value: Any) -> Any:
    """Value without pulumi's marks of secrets."""
    if isinstance(value, dict):
        return plain(value["value"]) if SECRET_MARKER in value else {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def manifests(stack: Objects) -> Iterator[tuple[str, Any]]:
    for name, args in stack.items():
        group = args.typ.split(":")[1].removeprefix("core/")
        yield name, {**plain(args.inputs), "apiVersion": group, "kind": args.typ.split(":")[2]}


def check(manifest: Any) -> str:
    """Complaint of the schema about a manifest; empty if there is none."""
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


@pytest.fixture(autouse=True)
def schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        kubernetes_validate.utils, "schema_contents", functools.cache(kubernetes_validate.utils.schema_contents)
    )


@pytest.fixture
def stacks(local: Values, example: Values) -> dict[str, Values]:
    """The lab's stack, the example's, and one that uses every key that makes or changes an object."""
    by_hand = {key: value for key, value in local["models"][0].items() if key not in ("plan", "spareReplicas")}
    sizes = {**TWO_HOSTS, "replicas": 2, "maxModelLen": 4096, "extraArgs": ["--tensor-parallel-size", "16"]}
    everything = {
        **local,
        "models": [
            {
                **by_hand,
                **sizes,
                "priority": "batch",
                "verify": "full",
                "compileCache": "/c",
                "hosts": {"pool": "large"},
            }
        ],
        "gateway": {
            "tlsSecret": "tls",
            "service": {"type": "LoadBalancer", "address": "10.20.0.40"},
            "limits": {"default": {"class": "batch"}},
        },
        "evaluation": {"key": "default", "hardware": "h", "endpoint": "https://llm.example", "caSecret": "ca"},
        "monitoring": {
            "alertWebhookUrl": "https://hooks.example.internal/alerts",
            "alertmanagerReplicas": 2,
            "storage": {"host": "cp1"},
        },
        "registryLogin": {"user": "stack", "password": "hunter2"},
        "repair": {"mode": "act"},
        "images": {**local["images"], **dict.fromkeys(("victoriaLogs", "vlagent"), f"{local['registry']}/logs:v1")},
        "logs": {},
        "gpuQuota": 64,
    }
    return {"local": local, "example": example, "everything": everything}


@pytest.mark.parametrize("name", ["local", "example", "everything"])
def test_the_api_takes_every_object(stacks: dict[str, Values], name: str) -> None:
    checked = dict(manifests(run_program(stacks[name])))
    assert len(checked) > 20
    assert not {of: said for of, manifest in checked.items() if (said := check(manifest))}


def test_a_misspelt_field_is_found(local: Values) -> None:
    deployment = dict(manifests(run_program(with_entry(local))))["Deployment/gateway"]
    assert check(deployment) == ""
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    assert "terminationGracePeriod" in check(wrong)
