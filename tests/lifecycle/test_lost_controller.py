"""A lost controller is rebuilt from its backup, and a stack's program refuses the cluster of somebody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster import stack
from lab.paths import BIN, KUBECONFIG, REPO
from lab.shell import output
from tests.fakes import kubernetes_api

OF_THE_CONTROLLER = (stack.STATE, stack.CONFIG)


def keep(*arguments: str | Path) -> str:
    return output("controller/qwen-controller", *arguments, cwd=REPO, env=stack.environment())


def preview(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(BIN / "pulumi", "preview", "--expect-no-changes", "--non-interactive"),
            *("--stack", stack.STACK, "--config-file", stack.CONFIG),
        ],
        cwd=stack.PROGRAM, env={**os.environ, **stack.environment(), **environment},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Path]:
    """A backup of the lab's controller, whose state and stack file are gone until the test ends."""
    file = tmp_path / "kept.tar.gz"
    keep("backup", "inventory/local", "--stack", stack.CONFIG, "--to", file)
    aside = stack.HOME / "aside"
    aside.mkdir()
    for path in OF_THE_CONTROLLER:
        path.rename(aside / path.name)
    try:
        yield file
    finally:
        for path in OF_THE_CONTROLLER:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            (aside / path.name).rename(path)
        aside.rmdir()


def test_nothing_is_to_be_changed_after_a_controller_was_put_back(lost: Path) -> None:
    assert "put back" in keep("restore", lost)
    seen = preview()
    assert seen.returncode == 0, seen.stdout + seen.stderr


def test_the_stack_belongs_to_the_cluster_that_it_filled() -> None:
    asked = ("get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}")
    uid = output(BIN / "kubectl", "--kubeconfig", KUBECONFIG, *asked)
    assert json.loads(stack.pulumi("stack", "output", "--json"))["cluster"] == uid


def test_the_cluster_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with kubernetes_api.cluster() as other:
        other.put("/api/v1/namespaces/kube-system")
        named = [{"name": "other", "cluster": {"server": other.url}}]
        contexts = [{"name": "other", "context": {"cluster": "other"}}]
        document = {"apiVersion": "v1", "kind": "Config", "clusters": named, "contexts": contexts}
        (tmp_path / "kubeconfig").write_text(json.dumps({**document, "current-context": "other"}))
        refused = preview(KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert refused.returncode != 0
    assert "found:  a cluster with the uid uid-kube-system" in refused.stdout + refused.stderr
    assert other.asked == [], "nothing was changed"
