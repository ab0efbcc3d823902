"""The runtime image as it runs in the cluster: its user and its contents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from lab.paths import KUBECONFIG, REPO

pytestmark = pytest.mark.skipif(not KUBECONFIG.exists(), reason=f"no lab is up: {KUBECONFIG} is missing")
# Not in the lock, because they are built here: the project, DeepSpeed, empty CUDA libraries, and the name of vLLM.
BUILT_HERE = {"qwen-runtime", "deepspeed", "cuda-stand-ins", "vllm"}


@pytest.fixture(scope="module")
def inside(kubectl: Callable[..., str]) -> Callable[..., str]:
    """Run a command in a model server."""
    return lambda *command: kubectl("--namespace", "qwen", "exec", "deployment/model-server", "--", *command)


def test_it_runs_as_its_own_user_and_cannot_write_its_root(inside: Callable[..., str]) -> None:
    assert inside("id", "-u").strip() == "10001"
    probe = "import os; print(os.access('/tmp', os.W_OK), os.statvfs('/').f_flag & os.ST_RDONLY)"
    assert inside("python", "-c", probe).split() == ["True", "1"]


def test_its_manifest_is_what_its_locks_have(inside: Callable[..., str]) -> None:
    installed = {
        entry["name"].lower(): entry["version"] for entry in json.loads(inside("cat", "/opt/venv/manifest.json"))
    }
    locks = "".join((REPO / "locks" / name).read_text() for name in ("runtime-cpu.txt", "dashboards.txt"))
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", locks, re.MULTILINE))
    assert {name: version for name, version in installed.items() if name not in BUILT_HERE} == locked
    assert installed.keys() >= BUILT_HERE
