"""A wrong configuration is refused before anything is touched; every key has found, needed and a remedy."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from qwen_stack import config
from tests.support.site_registries import REFUSED, TAKEN

PROGRAM = Path(__file__).resolve().parents[2] / "pulumi"
Values = dict[str, Any]
SECRET = ["qwen-onprem:apiKeys", "qwen-onprem:engineKeys"]


def changed(values: Values, path: str, value: object) -> Values:
    """A copy in which one key, such as `models[0].name`, is replaced, or removed if the value is None."""
    result = copy.deepcopy(values)
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    section: Any = result
    for parent in parents:
        section = section[int(parent)] if parent.isdigit() else section.setdefault(parent, {})
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
    keys = {"apiKeys": {"team": "k" * 32}, "engineKeys": ["e" * 32]}
    assert config.parse({**values, **keys}).models[0].gpus_per_replica == 8


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("namespace", None),
        ("namespace", "Upper_Case"),
        ("images.runtime", None),
        ("models", None),
        ("models", []),
        ("models[1].replicas", 0),
        ("models[1].replicas", None),
        ("models[0].maxModelLen", "many"),
        ("models[0].memoryLimit", "5GB"),
        ("models[1].engine", "other"),
        ("models[0].replica", 2),
        ("models[0].server", "Model_Server"),
        ("gateway.retries", 4),
        ("gateway.limits.default.inFlight", 0),
        ("gateway.limits.default.tokensPerMinute", -1),
        ("gateway.limits.keys.default.requests", 1),
        ("gateway.limits.answerTokens", 0),
        ("gateway.limits.default.class", "vip"),
        ("gateway.limits.queueSeconds", 61),
        ("gateway.service.nodePort", 80),
        ("monitoring.gpuUtilizationThreshold", 90),
        ("apiKeys", None),
        ("apiKeys", {}),
        ("engineKeys", None),
        ("engineKeys", []),
    ],
)
def test_a_value_out_of_shape_is_named_with_a_command_that_mends_it(local: Values, path: str, value: object) -> None:
    [problem] = refusal(changed(local, path, value))
    assert problem.keys == (path,)
    assert problem.found
    assert problem.needed
    assert problem.remedy.startswith("pulumi config ")


@pytest.mark.parametrize("name", REFUSED)
def test_a_registry_that_no_image_can_be_named_by_is_refused(local: Values, name: str) -> None:
    [problem] = refusal(changed(local, "registry", name))
    assert problem.keys == ("registry",)
    assert "host[:port]/path" in problem.needed


@pytest.mark.parametrize("name", TAKEN)
def test_images_may_lie_below_a_path_of_the_registry_and_then_no_other_is_taken(local: Values, name: str) -> None:
    images = {key: image.replace(local["registry"], name) for key, image in local["images"].items()}
    assert config.parse({**local, "registry": name, "images": images}).registry == name
    outside = images["gateway"].replace(name, f"{name}-other")
    [problem] = refusal({**local, "registry": name, "images": {**images, "gateway": outside}})
    assert problem.keys == ("images.gateway", "registry")


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (("images.gateway", "elsewhere.example/gateway:1"), ("images.gateway", "registry")),
        (("images.gateway", "mirror.lab.internal:5000/gateway:latest"), ("images.gateway",)),
        (("images.gateway", "mirror.lab.internal:5000/gateway"), ("images.gateway",)),
        (("models[0].memoryRequest", "6Gi"), ("models[0].memoryRequest", "models[0].memoryLimit")),
        (("models[0].sharedMemory", "5Gi"), ("models[0].sharedMemory", "models[0].memoryLimit")),
        (("models[0].extraArgs", ["--port=1"]), ("models[0].extraArgs",)),
        (("models[0].extraArgs", ["--node-rank=1"]), ("models[0].extraArgs",)),
        (("models[0].extraArgs", ["--max_model_len=9"]), ("models[0].extraArgs",)),
        (("models[0].env.NVIDIA_VISIBLE_DEVICES", "all"), ("models[0].env.NVIDIA_VISIBLE_DEVICES",)),
        (("models[0].rdmaResource", "rdma/hca"), ("models[0].rdmaResource", "models[0].nodesPerReplica")),
        (("models[1].name", "another-model"), ("models[1].variant",)),
        (("models[1].server", "model-server"), ("models.server",)),
        (("gateway.clientCaSecret", "ca"), ("gateway.clientCaSecret", "gateway.tlsSecret")),
        (("gateway.hostNames", ["llm.example"]), ("gateway.hostNames", "gateway.tlsSecret")),
        (("gateway.service.type", "ClusterIP"), ("gateway.service.type", "gateway.service.nodePort")),
        (("gateway.service.nodePort", None), ("gateway.service.type", "gateway.service.nodePort")),
        (
            ("monitoring.prometheusNodePort", 30080),
            ("gateway.service.nodePort", "monitoring.prometheusNodePort"),
        ),
        (("apiKeys.short", "abc"), ("apiKeys.short",)),
        (("apiKeys.twin", "a-key-for-tests-0123456789"), ("apiKeys.default", "apiKeys.twin")),
        (("engineKeys", ["a-key-for-tests-0123456789"]), ("apiKeys.default", "engineKeys[0]")),
        (("engineKeys", ["abc"]), ("engineKeys[0]",)),
    ],
)
def test_keys_that_contradict_each_other_are_all_named(
    local: Values, change: tuple[str, object], keys: tuple[str, ...]
) -> None:
    [problem] = refusal(changed(local, *change))
    assert problem.keys == keys
    assert problem.found
    assert problem.needed
    assert problem.remedy


def test_weights_that_are_served_twice_need_a_word_for_the_second_way(local: Values) -> None:
    named = changed(local, "models[1].servedName", "reference")
    keys = [problem.keys for problem in refusal(changed(named, "models[1].variant", None))]
    assert keys == [("models[1].variant",)]


@pytest.mark.parametrize(
    ("engine", "extra", "gpus", "is_right"),
    [
        ("vllm", [], 1, True),
        ("vllm", ["--tensor-parallel-size=4", "--pipeline-parallel-size", "2"], 8, True),
        ("vllm", ["-tp", "2", "--data_parallel_size=4"], 8, True),
        ("vllm", ["--tensor-parallel-size", "2"], 1, False),
        ("vllm", [], 2, False),
        ("vllm", ["--tensor-parallel-size", "two"], 2, False),
        ("vllm", ["--tp-size", "2"], 2, False),
        ("transformers", ["--tp-size", "2"], 2, True),
        ("transformers", ["--pp-size=4"], 4, True),
        ("transformers", ["--tensor-parallel-size", "2"], 2, False),
        ("transformers", [], 2, False),
        ("transformers", ["--tp-size", "2", "--pp-size", "2"], 4, False),
    ],
)
def test_the_engines_own_arguments_use_the_gpus_of_a_replica(
    local: Values, engine: str, extra: list[str], gpus: int, is_right: bool
) -> None:
    by_hand = {**local["models"][1], "engine": engine, "extraArgs": extra, "gpusPerReplica": gpus}
    del by_hand["variant"]
    values = {**local, "models": [by_hand]}
    if is_right:
        assert config.parse(values).models[0].gpus_per_replica == gpus
    else:
        [problem] = refusal(values)
        assert "models[0].extraArgs" in problem.keys


def test_engine_transformers_has_no_replica_over_hosts(local: Values) -> None:
    over_hosts = {"extraArgs": ["--tp-size=2"], "gpusPerReplica": 2, "nodesPerReplica": 2, "acceptOutage": True}
    [problem] = refusal({**local, "models": [local["models"][0], {**local["models"][1], **over_hosts}]})
    assert "engine vllm, which alone has ranks on other nodes" in problem.needed


def test_an_old_files_keys_are_refused_and_not_half_obeyed(local: Values) -> None:
    texts = {f"qwen-onprem:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in local.items()}
    pulumi.runtime.set_all_config({**texts, "qwen-onprem:plan": "plan.json"}, SECRET)
    with pytest.raises(config.ConfigError, match="an entry of models"):
        config.load(pulumi.Config("qwen-onprem"))


@pytest.mark.parametrize(("context", "accepted"), [(2048, 1_048_576), (262_144, 4_194_304), (2_000_000, 16_777_216)])
def test_a_body_that_fills_the_longest_context_is_accepted(local: Values, context: int, accepted: int) -> None:
    gateway = {key: value for key, value in local["gateway"].items() if key != "maxBodyBytes"}
    values = changed({**local, "gateway": gateway}, "models[1].maxModelLen", context)
    assert config.parse(values).gateway.max_body_bytes == accepted


@pytest.mark.parametrize("origin", ["*", "https://chat.site.example/", "chat.site.example"])
def test_what_is_no_origin_of_a_page_is_refused(local: Values, origin: str) -> None:
    [problem] = refusal(changed(local, "gateway.corsOrigins", [origin]))
    assert problem.keys == ("gateway.corsOrigins[0]",)


def test_the_stack_may_say_how_large_a_body_is(local: Values) -> None:
    assert config.parse(changed(local, "gateway.maxBodyBytes", 8192)).gateway.max_body_bytes == 8192


def test_all_problems_are_reported_at_once(local: Values) -> None:
    values = changed(changed(local, "models[0].memoryRequest", "6Gi"), "gateway.service.nodePort", None)
    assert len(refusal(values)) == 2


def test_no_message_shows_a_key(local: Values) -> None:
    for keys in ({"default": "hunter2"}, {"Bad Name": "hunter2"}, {"default": ["hunter2"]}):
        with pytest.raises(config.ConfigError) as caught:
            config.parse({**local, "apiKeys": keys})
        assert "hunter2" not in str(caught.value)


@pytest.fixture
def as_pulumi_config(local: Values) -> Callable[[list[str]], pulumi.Config]:
    def make(secret: list[str]) -> pulumi.Config:
        texts = {f"qwen-onprem:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in local.items()}
        pulumi.runtime.set_all_config(texts, secret)
        return pulumi.Config("qwen-onprem")

    return make


def test_a_registrys_login_is_a_secret_and_in_no_message(local: Values) -> None:
    values = {**local, "registryLogin": {"user": "stack", "password": "hunter2"}}
    texts = {f"qwen-onprem:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}
    pulumi.runtime.set_all_config(texts, SECRET)
    with pytest.raises(config.ConfigError, match="registryLogin: found: plain text") as caught:
        config.load(pulumi.Config("qwen-onprem"))
    with pytest.raises(config.ConfigError) as wrong:
        config.parse({**local, "registryLogin": {"user": "a:b", "password": "hunter2", "token": "hunter2"}})
    assert "hunter2" not in f"{caught.value} {wrong.value}"


def test_keys_in_plain_text_are_refused(as_pulumi_config: Callable[[list[str]], pulumi.Config]) -> None:
    with pytest.raises(config.ConfigError, match="plain text"):
        config.load(as_pulumi_config([]))
    with pytest.raises(config.ConfigError, match="engineKeys: found: plain text"):
        config.load(as_pulumi_config(["qwen-onprem:apiKeys"]))
    assert config.load(as_pulumi_config(SECRET)).api_keys


def test_limits_are_of_known_keys_and_within_what_the_gateways_hold(local: Values) -> None:
    keys = {"unknown": {"inFlight": 1}, "default": {"inFlight": 513}}
    each = {"smollm2-135m-instruct": 257, "other": 1, "smollm2-135m-instruct-reference": 512}
    limits = {"default": {"inFlight": 512}, "keys": keys, "requestsPerReplica": each}
    problems = refusal(changed(local, "gateway.limits", limits))
    assert [problem.keys[0] for problem in problems] == [
        "gateway.limits.keys.unknown",
        "gateway.limits.requestsPerReplica.other",
        "gateway.limits.keys.default.inFlight",
        "gateway.limits.requestsPerReplica.smollm2-135m-instruct",
    ]
    assert "at most 512" in problems[2].needed
