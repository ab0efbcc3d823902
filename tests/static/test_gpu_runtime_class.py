"""Every pod that uses GPUs gets the driver by one runtime class, said once to Ansible and once to Pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "ansible/roles").glob("*/templates/*.j2"))
GPU = "nvidia.com/gpu"
RUNTIME_CLASS = "the-sites-class"
# What the two templates that make pods on GPU hosts are given, beside the class.
VALUES: dict[str, Any] = {
    "gpu_device_plugin_runtime_class": RUNTIME_CLASS,
    "gpu_device_plugin_env": {},
    "acceptance_runtime_class": RUNTIME_CLASS,
    "__acceptance_pod": {"name": "pod", "script": "s.py", "gpus": 8, "command": [], "environment": {}},
    "lookup": lambda *_: "",
}


def render(template: Path, **values: Any) -> Iterator[dict[str, Any]]:
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)
    environment.filters["to_json"] = partial(json.dumps, default=str)
    yield from yaml.safe_load_all(environment.from_string(template.read_text()).render(VALUES | values))


def pods(template: Path, **values: Any) -> list[dict[str, Any]]:
    """The specification of each pod that a template makes."""
    found = []
    for manifest in render(template, **values):
        if manifest["kind"] == "Pod":
            found.append(manifest["spec"])
        elif "template" in manifest.get("spec", {}):
            found.append(manifest["spec"]["template"]["spec"])
    return found


def site(name: str) -> dict[str, Any]:
    folder = ROOT / f"inventory/{name}/group_vars"
    files = [file for file in folder.glob("*/*.yml") if file.name != "vault.yml"]
    return {key: value for file in files for key, value in yaml.safe_load(file.read_text()).items()}


@pytest.mark.parametrize("template", [t for t in TEMPLATES if GPU in t.read_text()], ids=lambda t: t.parts[-3])
def test_every_pod_on_gpus_that_a_role_makes_has_the_class(template: Path) -> None:
    made = pods(template)
    assert made
    assert {pod.get("runtimeClassName") for pod in made} == {RUNTIME_CLASS}


def test_a_pod_of_acceptance_without_gpus_needs_no_driver() -> None:
    template = ROOT / "ansible/roles/acceptance/templates/pod.yaml.j2"
    [pod] = pods(template, __acceptance_pod=VALUES["__acceptance_pod"] | {"gpus": 0})
    assert "runtimeClassName" not in pod


def test_the_class_that_the_plugin_brings_is_containerds_runtime() -> None:
    made = list(render(ROOT / "ansible/roles/gpu_device_plugin/templates/daemonset.yaml.j2"))
    [runtime_class] = [manifest for manifest in made if manifest["kind"] == "RuntimeClass"]
    assert (runtime_class["metadata"]["name"], runtime_class["handler"]) == (RUNTIME_CLASS, RUNTIME_CLASS)
    configuration = (ROOT / "ansible/roles/container_runtime/templates/cri.toml.j2").read_text()
    assert ".containerd.runtimes.{{ container_runtime_nvidia_runtime }}]" in configuration


@pytest.mark.parametrize("name", ["example", "local"])
def test_the_inventory_says_it_once_and_the_stack_says_the_same(name: str) -> None:
    variables = site(name)
    takers = {"container_runtime_nvidia_runtime", "gpu_device_plugin_runtime_class", "acceptance_runtime_class"}
    assert {key for key, value in variables.items() if value == "{{ site_gpu_runtime_class }}"} == takers
    stack = yaml.safe_load((ROOT / f"pulumi/Pulumi.{name}.yaml").read_text())["config"]
    assert stack["qwen-onprem:gpuRuntimeClass"] == variables["site_gpu_runtime_class"]


@pytest.mark.parametrize(("limit", "lines"), [("infinity", ["LimitMEMLOCK=infinity"]), ("", [])])
def test_the_services_that_start_containers_let_them_lock_what_the_site_says(limit: str, lines: list[str]) -> None:
    role = ROOT / "ansible/roles/container_runtime"
    values = yaml.safe_load((role / "defaults/main.yml").read_text())
    assert values["container_runtime_locked_memory"] == "infinity", "RDMA locks what it sends"
    template = jinja2.Environment(trim_blocks=True).from_string((role / "templates/service.conf.j2").read_text())
    unit = template.render(values | {"container_runtime_locked_memory": limit})
    assert [line for line in unit.splitlines() if "=" in line] == lines
