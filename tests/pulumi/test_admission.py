"""Images by a signed list: what is not on it is refused by the preview, and by the cluster before it starts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from qwen_runtime import signature

from qwen_stack import config
from qwen_stack.components.judged import PolicyError

from .recorded_stack import Objects, run_program

Values = dict[str, Any]
EXPORTER = "e"
VERSION = yaml.safe_load((Path(__file__).parents[2] / "versions.yml").read_text())["versions"]["kubernetes"]["version"]
POLICY = "ValidatingAdmissionPolicy/qwen-signed-images"


@pytest.fixture
def site(local: Values, tmp_path: Path) -> Values:
    """The stack with all images by digest, and a list of them that the site has signed."""
    exporter = f"{local['registry']}/nvidia/dcgm-exporter@sha256:{EXPORTER * 64}"
    images = {**local["images"], "dcgmExporter": exporter}
    entries = [{"name": name.partition("@")[0], "digest": name.partition("@")[2]} for name in images.values()]
    (tmp_path / "images.json").write_text(json.dumps({"format": 1, "site": local["registry"], "images": entries}))
    key, public = tmp_path / "site.key", tmp_path / "site.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    signature.sign(tmp_path / "images.json", key)
    return {**local, "images": images, "signedImages": {"list": str(tmp_path / "images.json"), "key": str(public)}}


def refusal(values: Values) -> str:
    with pytest.raises(config.ConfigError) as refused:
        run_program(values)
    return str(refused.value)


@pytest.fixture
def stack(site: Values) -> Objects:
    return run_program(site)


def test_the_cluster_gets_the_digests_of_the_list(stack: Objects) -> None:
    spec = stack[POLICY].inputs["spec"]
    [signed] = [variable["expression"] for variable in spec["variables"] if variable["name"] == "signed"]
    assert signed == "{" + ", ".join(f"'sha256:{digit * 64}': true" for digit in "abcde") + "}"
    assert spec["failurePolicy"] == "Fail"
    binding = stack["ValidatingAdmissionPolicyBinding/qwen-signed-images"].inputs["spec"]
    assert binding["validationActions"] == ["Deny"]
    assert binding["matchResources"]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "qwen"}


@pytest.mark.parametrize("kind", ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"])
def test_the_api_takes_both_objects(stack: Objects, kind: str) -> None:
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind}
    kubernetes_validate.validate({**stack[f"{kind}/qwen-signed-images"].inputs, **body}, VERSION, strict=True)


def test_a_stack_without_a_list_admits_what_its_registry_has(local: Values) -> None:
    assert POLICY not in run_program(local)


def test_an_image_that_is_not_on_the_list_is_refused_by_the_preview(site: Values) -> None:
    other = f"{site['registry']}/nvidia/dcgm-exporter:4.2.3"
    with pytest.raises(PolicyError, match="needed: a digest of the list that signedImages names"):
        run_program({**site, "images": {**site["images"], "dcgmExporter": other}})


def test_a_list_that_was_changed_is_refused(site: Values) -> None:
    file = Path(site["signedImages"]["list"])
    file.write_text(file.read_text().replace(EXPORTER * 64, "f" * 64))
    words = refusal(site)
    assert "signedImages.list: found: a signature that is not of this list and this key" in words


def test_a_list_without_a_signature_is_refused(site: Values) -> None:
    signature.of(Path(site["signedImages"]["list"])).unlink()
    assert "signedImages.list: found: no signature" in refusal(site)


@pytest.mark.parametrize("key", ["list", "key"])
def test_a_file_that_is_not_there_is_named(site: Values, key: str) -> None:
    gone = {**site["signedImages"], key: "/nonexistent/file"}
    assert "found: no file /nonexistent/file" in refusal({**site, "signedImages": gone})
