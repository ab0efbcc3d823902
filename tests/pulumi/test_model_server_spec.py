"""The model servers' manifests: arguments, resources, times and places."""

from typing import Any

import pytest

from qwen_stack.specs import model_server


@pytest.fixture
def spec(settings: Any) -> dict[str, Any]:
    return model_server.deployment(settings.models[0], settings.images.runtime, "nvidia")["spec"]


@pytest.fixture
def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["template"]["spec"]


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["containers"]
    return only


def test_gpus_are_requested_and_limited_alike(container: dict[str, Any], settings: Any) -> None:
    gpus = str(settings.models[0].gpus_per_replica)
    assert container["resources"]["requests"]["nvidia.com/gpu"] == gpus
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus


def test_probes_ask_the_supervisor_and_not_the_engine(container: dict[str, Any]) -> None:
    paths = {
        kind: (container[kind]["httpGet"]["path"], container[kind]["httpGet"]["port"])
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {
        "startupProbe": ("/health/startup", "health"),
        "readinessProbe": ("/health/ready", "health"),
        "livenessProbe": ("/health/live", "health"),
    }
    assert {"name": "health", "containerPort": 8081} in container["ports"]


def test_loading_has_all_the_time_that_was_given(container: dict[str, Any], settings: Any) -> None:
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= settings.models[0].startup_seconds


def test_a_pod_is_killed_only_after_its_drain(pod: dict[str, Any], container: dict[str, Any], settings: Any) -> None:
    drain = int(container["args"][container["args"].index("--drain-seconds") + 1])
    assert drain == settings.models[0].drain_seconds
    # `qwen-runtime serve --help` asks for 15 s beyond the drain.
    assert pod["terminationGracePeriodSeconds"] >= drain + 15


def test_the_weights_are_read_only_and_the_root_file_system_too(pod: dict[str, Any], container: dict[str, Any]) -> None:
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["weights"]["readOnly"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert mounts["plan"]["readOnly"] is True
    assert {mount["mountPath"] for mount in mounts.values() if not mount.get("readOnly")} == {"/tmp", "/dev/shm"}
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}} in pod["volumes"]


def test_compiled_code_is_kept_on_the_host_for_the_same_image_and_plan_alone(settings: Any) -> None:
    model = settings.models[0].model_copy(update={"compile_cache": "/var/lib/qwen/compiled"})
    changed = model.model_copy(update={"env": {**model.env, "VLLM_USE_V2": "1"}})
    folders = set()
    for one, image in ((model, "one"), (model, "one"), (model, "other"), (changed, "one")):
        pod = model_server.deployment(one, image, "nvidia")["spec"]["template"]["spec"]
        [container] = pod["containers"]
        argv = container["args"][: container["args"].index("--")]
        [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "compiled"]
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == "compiled"]
        kept, _, folder = argv[argv.index("--compile-cache") + 1].rpartition("/")
        assert "--warm" in argv, "what features compile is kept too"
        assert mount == {"name": "compiled", "mountPath": kept}
        assert volume["persistentVolumeClaim"]["readOnly"] is False
        folders.add(folder)
    assert len(folders) == 3
    assert "compile-cache" not in str(model_server.deployment(settings.models[0], "one", "nvidia"))


def test_the_container_has_no_rights_to_give_away(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False


@pytest.fixture
def verification(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["initContainers"]
    return only


def test_weights_are_verified_before_the_server_starts(
    verification: dict[str, Any], container: dict[str, Any], settings: Any
) -> None:
    mounted = [mount for mount in container["volumeMounts"] if mount["name"] == "weights"]
    assert verification["volumeMounts"] == mounted
    assert verification["image"] == container["image"]
    assert verification["args"] == ["weights", "verify", f"/models/{settings.models[0].name}"]
    assert "--verify" not in container["args"], "the server keeps to its own cheap check"


def test_the_stack_says_how_deep_weights_are_verified(settings: Any) -> None:
    full = settings.models[0].model_copy(update={"verify": "full"})
    assert model_server.verification(full, "image")["args"][-1] == "--full"


def test_verification_asks_for_no_gpu_and_no_rights(verification: dict[str, Any]) -> None:
    assert "nvidia.com/gpu" not in str(verification)
    assert verification["securityContext"]["readOnlyRootFilesystem"] is True
    assert verification["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_command_serves_the_mounted_weights(container: dict[str, Any], settings: Any) -> None:
    args, name = container["args"], settings.models[0].name
    assert container["command"] == ["qwen-runtime"]
    assert args[args.index("--model") + 1] == container["volumeMounts"][0]["mountPath"] == f"/models/{name}"
    assert args[args.index("--") + 1 :] == list(settings.models[0].extra_args)


def test_an_engine_without_arguments_of_its_own_gets_no_separator(settings: Any) -> None:
    assert "--" not in model_server.arguments(settings.models[0].model_copy(update={"extra_args": ()}))


def test_the_gateway_finds_pods_by_a_name_that_resolves_to_each(settings: Any) -> None:
    assert model_server.discovery(settings.models[0])["spec"]["clusterIP"] == "None"
