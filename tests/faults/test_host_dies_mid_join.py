"""A host loses its power while it joins the cluster, and `site.yml` is run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import site
from lab.hosts import rack
from lab.paths import CONTROLLER_ENV, REPO
from lab.shell import attempt, output

CONTROL_PLANE, WORKER = "fault1", "fault2"
CONTAINER = rack.PREFIX + WORKER
SCRATCH = (sys.executable, "-m", "lab", "scratch")
PATIENCE_S = 600
KUBECTL = ("podman", "exec", rack.PREFIX + CONTROL_PLANE, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")


def boot() -> list[dict[str, Any]]:
    """Boot both hosts on their old disks; returns their addresses."""
    reach: list[dict[str, Any]] = json.loads(output(*SCRATCH, "up", CONTROL_PLANE, WORKER, cwd=REPO))
    return reach


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Path]:
    """Two bare hosts, one of them a control plane, with the rack's variables."""
    members = {host["instance"]: {"ansible_host": host["address"]} for host in boot()}
    groups = {"control_plane": {"hosts": {CONTROL_PLANE: members[CONTROL_PLANE]}}, "gpu": {"hosts": {}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"cluster": {"hosts": members, "children": groups}}))
    (tmp_path / "group_vars").symlink_to(REPO / "inventory/local/group_vars")
    yield tmp_path
    output(*SCRATCH, "down", CONTROL_PLANE, WORKER, cwd=REPO)


def converge(inventory: Path) -> subprocess.Popen[bytes]:
    """Start the cluster's part of site.yml; its output goes to `log` beside the inventory."""
    extra = json.dumps({"kubernetes_kubeconfig_path": str(inventory / "kubeconfig")})
    path = f"{CONTROLLER_ENV}/bin:{os.environ['PATH']}"
    with (inventory / "log").open("wb") as log:
        return subprocess.Popen(
            ["ansible-playbook", "-i", inventory, "molecule/shared/cluster.yml", "-e", extra],
            cwd=REPO,
            env={**os.environ, **site.environment(), "PATH": path, "SITE_ROOT": str(REPO)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_for_kubeadm(run: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while attempt("podman", "exec", CONTAINER, "pgrep", "--full", "^kubeadm join").returncode:
        assert run.poll() is None, f"the run ended before the host was seen joining: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_host_that_died_while_joining_is_joined_by_the_next_run(inventory: Path) -> None:
    run = converge(inventory)
    wait_for_kubeadm(run, inventory / "log")
    output("podman", "kill", CONTAINER)
    assert run.wait(PATIENCE_S) != 0, "a run whose host died says so"

    boot()
    cluster = output(*KUBECTL, "get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
    again = converge(inventory).wait(PATIENCE_S)

    assert again == 0, (inventory / "log").read_text()[-5000:]
    assert output(*KUBECTL, "get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}") == cluster
    ready = output(*KUBECTL, "wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={PATIENCE_S}s")
    assert WORKER in ready
