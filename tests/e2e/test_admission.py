"""The cluster's API admits pods by the digests of a signed list alone, by the stack's policy in a namespace of its own.

Nothing starts: the API server judges a dry run as it does the real request.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab.cluster import stack
from lab.paths import BIN, KUBECONFIG
from qwen_stack.specs import admission
from tests.support.waiting import wait_until

NAMESPACE = "admission-e2e"
KUBECTL = (BIN / "kubectl", "--kubeconfig", KUBECONFIG)


def kubectl(*arguments: str, document: Any = None) -> subprocess.CompletedProcess[str]:
    text = json.dumps(document) if document else None
    return subprocess.run([*KUBECTL, *arguments], input=text, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def listed() -> Iterator[str]:
    """An image on the list that the namespace admits."""
    image: str = yaml.safe_load(stack.CONFIG.read_text())["config"]["qwen-onprem:images"]["runtime"]
    name = {"name": NAMESPACE}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": name}
    objects = [namespace, *admission.manifests(NAMESPACE, [image.partition("@")[2]])]
    everything = {"apiVersion": "v1", "kind": "List", "items": objects}
    try:
        assert kubectl("apply", "-f", "-", document=everything).returncode == 0
        account = ("get", "serviceaccount", "default", "--namespace", NAMESPACE)
        wait_until(lambda: kubectl(*account).returncode == 0, "the namespace's account")
        wait_until(lambda: "found: " in refusal("mirror/unlisted:1"), "the policy to be in force")
        yield image
    finally:
        kubectl("delete", "--wait=false", "-f", "-", document=everything)


def refusal(image: str, **also: Any) -> str:
    """The API's complaint about a pod of this image; empty if it is admitted."""
    containers = [{"name": "main", "image": image}]
    spec = {"containers": containers, "automountServiceAccountToken": False, **also}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "judged", "namespace": NAMESPACE}, "spec": spec}
    return kubectl("create", "--dry-run=server", "-f", "-", document=pod).stderr


def test_an_image_of_the_list_starts(listed: str) -> None:
    assert refusal(listed) == ""


def test_another_digest_of_the_same_image_is_refused(listed: str) -> None:
    other = listed.partition("@")[0] + "@sha256:" + "0" * 64
    assert f"found: {other}; needed: a digest of the signed list" in refusal(other)


def test_a_name_without_a_digest_is_refused(listed: str) -> None:
    assert "needed: a digest of the signed list" in refusal(listed.partition("@")[0] + ":latest")


def test_a_container_that_runs_first_is_judged_too(listed: str) -> None:
    first = [{"name": "first", "image": "mirror/unlisted@sha256:" + "1" * 64}]
    assert "found: mirror/unlisted@sha256:1" in refusal(listed, initContainers=first)
