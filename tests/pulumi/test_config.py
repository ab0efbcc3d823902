"""A wrong configuration is refused before anything is touched, with every key, what was found and what to do."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

import config

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"
Values = dict[str, Any]


def changed(values: Values, path: str, value: object) -> Values:
    """A copy with one key replaced, or removed when the value is None."""
    result = copy.deepcopy(values)
    *parents, last = path.split(".")
    section = result
    for parent in parents:
        section = section.setdefault(parent, {})
    if value is None:
        section.pop(last, None)
    else:
        section[last] = value
    return result


def refusal(values: Values) -> list[Any]:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(values)
    return caught.value.problems


def test_the_example_is_a_valid_site_once_its_keys_are_set() -> None:
    text = yaml.safe_load((PROGRAM / "Pulumi.example.yaml").read_text())
    values = {key.partition(":")[2]: value for key, value in text["config"].items()}
    assert config.parse({**values, "apiKeys": {"team": "k" * 32}}).model.gpus_per_replica == 8


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("namespace", None),
        ("namespace", "Upper_Case"),
        ("images.runtime", None),
        ("model.replicas", 0),
        ("model.maxModelLen", "many"),
        ("model.memoryLimit", "5GB"),
        ("model.engine", "other"),
        ("model.replica", 2),
        ("gateway.retries", 4),
        ("gateway.service.nodePort", 80),
        ("monitoring.gpuUtilizationThreshold", 90),
        ("apiKeys", None),
        ("apiKeys", {}),
    ],
)
def test_a_value_out_of_shape_is_named_with_a_command_that_mends_it(local: Values, path: str, value: object) -> None:
    [problem] = refusal(changed(local, path, value))
    assert problem.keys == (path,)
    assert problem.found
    assert problem.needed
    assert problem.fix.startswith("pulumi config ")


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (("images.gateway", "elsewhere.example/gateway:1"), ("images.gateway", "registry")),
        (("images.gateway", "mirror.lab.internal:5000/gateway:latest"), ("images.gateway",)),
        (("images.gateway", "mirror.lab.internal:5000/gateway"), ("images.gateway",)),
        (("model.memoryRequest", "6Gi"), ("model.memoryRequest", "model.memoryLimit")),
        (("model.sharedMemory", "5Gi"), ("model.sharedMemory", "model.memoryLimit")),
        (("model.extraArgs", ["--port=1"]), ("model.extraArgs",)),
        (("model.extraArgs", ["--node-rank=1"]), ("model.extraArgs",)),
        (("model.nodesPerReplica", 2), ("model.gpusPerReplica", "model.nodesPerReplica")),
        (("model.extraArgs", ["--tensor-parallel-size", "2"]), ("model.gpusPerReplica", "model.extraArgs")),
        (("model.gpusPerReplica", 2), ("model.gpusPerReplica", "model.extraArgs")),
        (("gateway.service.type", "ClusterIP"), ("gateway.service.type", "gateway.service.nodePort")),
        (
            ("monitoring.prometheusNodePort", 30080),
            ("gateway.service.nodePort", "monitoring.prometheusNodePort"),
        ),
        (("gateway.maxUpstreams", 3), ("gateway.maxUpstreams", "model.replicas")),
        (("apiKeys.short", "abc"), ("apiKeys.short",)),
        (("apiKeys.twin", "a-key-for-tests-0123456789"), ("apiKeys.default", "apiKeys.twin")),
    ],
)
def test_keys_that_contradict_each_other_are_all_named(
    local: Values, change: tuple[str, object], keys: tuple[str, ...]
) -> None:
    [problem] = refusal(changed(local, *change))
    assert problem.keys == keys
    assert problem.found
    assert problem.needed
    assert problem.fix


def test_a_variant_keeps_the_rules_of_a_model_and_has_names_of_its_own(local: Values) -> None:
    [variant] = local["variants"]
    greedy = {**variant, "memoryRequest": "6Gi", "sharedMemory": "5Gi"}
    found = {problem.keys for problem in refusal({**local, "variants": [greedy]})}
    assert found == {
        ("variants[0].memoryRequest", "variants[0].memoryLimit"),
        ("variants[0].sharedMemory", "variants[0].memoryLimit"),
    }
    twins = [variant, {**variant, "servedName": local["model"]["name"]}]
    found = {problem.keys for problem in refusal({**local, "variants": twins})}
    assert found == {("variants.variant",), ("variants.servedName",)}


def test_parallel_sizes_multiply_to_the_gpus_of_a_replica(local: Values) -> None:
    values = changed(local, "model.gpusPerReplica", 8)
    sizes = ["--tensor-parallel-size=4", "--pipeline-parallel-size", "2"]
    assert config.parse(changed(values, "model.extraArgs", sizes)).model.gpus_per_replica == 8


def test_all_problems_are_reported_at_once(local: Values) -> None:
    values = changed(changed(local, "model.memoryRequest", "6Gi"), "gateway.maxUpstreams", 2)
    assert len(refusal(values)) == 2


def test_no_message_shows_a_key(local: Values) -> None:
    for keys in ({"default": "hunter2"}, {"Bad Name": "hunter2"}, {"default": ["hunter2"]}):
        with pytest.raises(config.ConfigError) as caught:
            config.parse({**local, "apiKeys": keys})
        assert "hunter2" not in str(caught.value)


@pytest.fixture
def as_pulumi_config(local: Values) -> Callable[[list[str]], pulumi.Config]:
    import json

    def make(secret: list[str]) -> pulumi.Config:
        texts = {f"qwen-onprem:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in local.items()}
        pulumi.runtime.set_all_config(texts, secret)
        return pulumi.Config("qwen-onprem")

    return make


def test_keys_in_plain_text_are_refused(as_pulumi_config: Callable[[list[str]], pulumi.Config]) -> None:
    with pytest.raises(config.ConfigError, match="plain text"):
        config.load(as_pulumi_config([]))
    assert config.load(as_pulumi_config(["qwen-onprem:apiKeys"])).api_keys
