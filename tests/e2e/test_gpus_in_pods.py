"""A pod on two GPUs: the runtime class brings in these two and the host's driver; without it, nothing does.

The runtime and the CDI specification that it reads are NVIDIA's own programs' work; the driver's files are the lab's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from lab.cluster.stack import NAMESPACE
from lab.hosts import rack
from lab.paths import BIN, KUBECONFIG
from lab.shell import output
from lab.versions import versions

NAME = "look-at-gpus"
CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
# The script in the pod: libraries that load and their files, GPUs of the driver and of nvidia-smi, device nodes.
LOOK = f"""
import ctypes, glob, json, shutil, subprocess
loaded, count = {{}}, ctypes.c_int(0)
for name in {LIBRARIES}:
    try:
        library = ctypes.CDLL(name)
    except OSError:
        continue
    loaded[name] = [line.split()[-1] for line in open("/proc/self/maps") if name[:-2] in line][0]
    if name == "libcuda.so.1" and library.cuInit(0) == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
smi = shutil.which("nvidia-smi")
print(json.dumps({{
    "loaded": loaded,
    "cuda_devices": count.value,
    "nvidia_smi": subprocess.run([smi, "-L"], capture_output=True, text=True).stdout.splitlines() if smi else None,
    "nodes": sorted(glob.glob("/dev/nvidia[0-9]*")),
}}))
"""
Kubectl = Callable[..., str]
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def look(kubectl: Kubectl) -> Any:
    """Runs LOOK in a pod made from the model servers' template, changed by the test; returns what it printed."""

    def run(change: Change) -> dict[str, Any]:
        deployment = json.loads(kubectl("--namespace", NAMESPACE, "get", "deployment", "model-server", "--output=json"))
        spec = deployment["spec"]["template"]["spec"]
        [server] = spec["containers"]
        kept = {key: server[key] for key in ("image", "securityContext")}
        gpus = {"nvidia.com/gpu": "2"}
        # The server's own Python; its /tmp and weights are not needed to look.
        looking = {**kept, "name": "look", "command": ["python3", "-c", LOOK], "resources": {"limits": gpus}}
        del spec["initContainers"], spec["volumes"]
        spec |= {"containers": [looking], "restartPolicy": "Never"}
        change(spec)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec}
        subprocess.run(
            [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "create", "--filename=-"],
            input=json.dumps(pod),
            text=True,
            check=True,
        )
        ended = ("wait", "pod", NAME, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
        kubectl("--namespace", NAMESPACE, *ended)
        answer: dict[str, Any] = json.loads(kubectl("--namespace", NAMESPACE, "logs", NAME).splitlines()[-1])
        made = json.loads(kubectl("--namespace", NAMESPACE, "get", "pod", NAME, "--output=json"))
        return {**answer, "allocated": allocated(made["spec"]["nodeName"], made["metadata"]["uid"])}

    def remove() -> None:
        kubectl("--namespace", NAMESPACE, "delete", "pod", NAME, "--ignore-not-found", "--now")

    remove()
    yield run
    remove()


def allocated(node: str, pod: str) -> set[str]:
    """UUIDs of the GPUs that the kubelet has given to a pod."""
    checkpoint = json.loads(output("podman", "exec", rack.PREFIX + node, "cat", CHECKPOINT))
    entries = [entry for entry in checkpoint["Data"]["PodDeviceEntries"] or [] if entry["PodUID"] == pod]
    return {device for entry in entries for devices in entry["DeviceIDs"].values() for device in devices}


def without_class(spec: dict[str, Any]) -> None:
    del spec["runtimeClassName"]


def with_no_gpu_asked_for(spec: dict[str, Any]) -> None:
    """Stand-in for the container that verifies weights."""
    [container] = spec["containers"]
    container |= {"resources": {}, "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]}


def uuids(lines: list[str]) -> set[str]:
    return {line.rpartition("UUID: ")[2].rstrip(")") for line in lines}


def test_a_pod_on_two_gpus_sees_these_two_by_the_hosts_driver(look: Any) -> None:
    seen = look(lambda spec: None)
    stacks = versions()["nvidia"]
    driver = stacks["stacks"][stacks["default"]]["driver"]
    libraries = {name: f"/usr/lib/x86_64-linux-gnu/{name.removesuffix('.1')}.{driver}" for name in LIBRARIES}
    assert seen["loaded"] == libraries
    assert len(uuids(seen["nvidia_smi"])) == len(seen["nodes"]) == seen["cuda_devices"] == 2
    assert uuids(seen["nvidia_smi"]) == seen["allocated"]


def test_without_the_runtime_class_the_same_pod_gets_no_driver(look: Any) -> None:
    seen = look(without_class)
    assert len(seen["nodes"]) == len(seen["allocated"]) == 2, "the device plugin hands over two GPUs all the same"
    assert (seen["loaded"], seen["nvidia_smi"], seen["cuda_devices"]) == ({}, None, 0)


def test_a_container_that_asks_for_no_gpu_sees_none(look: Any) -> None:
    seen = look(with_no_gpu_asked_for)
    assert (seen["loaded"], seen["nvidia_smi"], seen["nodes"]) == ({}, None, [])


def test_replicas_of_a_model_hold_gpus_of_their_own(kubectl: Kubectl) -> None:
    labelled = ("--selector=app.kubernetes.io/name=model-server", "--output=json")
    pods = json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", *labelled))["items"]
    serving = [
        pod for pod in pods if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    held = []
    for pod in serving:
        inside = ("exec", pod["metadata"]["name"], "--container=model-server", "--", "nvidia-smi", "-L")
        limit = int(pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
        listed = uuids(kubectl("--namespace", NAMESPACE, *inside).splitlines())
        assert len(listed) == limit
        held.append(listed)
    assert len(held) > 1
    assert sum(map(len, held)) == len(set.union(*held)), held
