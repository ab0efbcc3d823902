"""`qwen-mirror list`: everything that a site needs is named, from what the site says of itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from mirror.command import main
from mirror.item import Item
from mirror.needs.items import needed
from mirror.site import Site
from mirror.upstream import Upstream

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "inventory/example"
STACK = ROOT / "pulumi/Pulumi.example.yaml"


@pytest.fixture(scope="module")
def listed() -> list[Item]:
    return needed(Site(EXAMPLE))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the example that a test may change."""
    copy = tmp_path / "inventory/own"
    shutil.copytree(EXAMPLE, copy)
    shutil.copy(ROOT / "versions.yml", tmp_path)
    return copy


def names(items: list[Item], kind: str, group: str = "") -> set[str]:
    return {item.name for item in items if item.kind == kind and item.group.startswith(group)}


def images(folder: Path, stack: Path | None) -> list[Item]:
    return needed(Site(folder, stack=stack), kinds=["image"])


def test_each_release_has_the_packages_of_those_who_run_it(listed: list[Item]) -> None:
    assert {"mdadm", "linux-headers-nvidia", "nvidia-dkms-580-open"} <= names(listed, "apt", "jammy")
    assert {"haproxy", "python3-dev", "skopeo"} <= names(listed, "apt", "noble")
    assert names(listed, "apt", "bookworm") == {"prometheus", "prometheus-alertmanager"}


def test_whoever_pins_a_package_has_it_listed_once_with_the_version(listed: list[Item]) -> None:
    [kubectl] = [item for item in listed if item.name == "kubectl" and item.group == "noble"]
    assert kubectl.version == "1.34.4-1.1"
    assert {"control_plane", "controller"} <= set(kubectl.used_by.split(", "))


def test_pinned_packages_come_from_the_projects_that_make_them_and_no_others(listed: list[Item]) -> None:
    own = [
        item for item in listed if item.kind == "apt" and "ubuntu.com" not in item.source and item.group != "bookworm"
    ]
    assert {item.version != "" for item in own} == {True}
    assert all(item in own for item in listed if item.kind == "apt" and item.version)


def test_a_key_with_its_fingerprint_is_listed_for_each_source_of_packages(listed: list[Item]) -> None:
    keys = {item.name for item in listed if item.kind == "key" and item.digest.startswith("gpg:")}
    assert keys == {
        *("kubernetes", "nvidia-container-toolkit", "cuda-ubuntu2204", "ubuntu-22.04", "ubuntu-24.04", "debian-12"),
    }


def test_every_image_of_inventory_and_stack_is_listed_once_by_its_digest(listed: list[Item]) -> None:
    named = yaml.safe_load(STACK.read_text())["config"]["qwen-onprem:images"].values()
    digests = [item.digest for item in listed if item.kind == "image" and item.digest]
    assert sorted(digests) == sorted(reference.partition("@")[2] for reference in named)
    assert len(names(listed, "image")) == len([item for item in listed if item.kind == "image"])


def test_images_are_called_at_the_site_as_kubeadm_and_the_roles_ask_for_them(listed: list[Item]) -> None:
    at = {item.source: item.at for item in listed if item.kind == "image"}
    assert at["registry.k8s.io/coredns/coredns:v1.12.1"] == "registry.example.internal/kubernetes/coredns:v1.12.1"
    assert at["nvcr.io/nvidia/k8s-device-plugin:v0.17.4"].startswith("registry.example.internal/nvidia/")


def test_an_image_that_the_site_does_not_use_is_not_listed(site: Path) -> None:
    (site / "group_vars/cluster/pod_network.yml").write_text("pod_network_policy_image: ''\n")
    text = (site / "group_vars/all/site.yml").read_text()
    (site / "group_vars/all/site.yml").write_text(text.replace('  - "{{ site_network_policy_image }}"\n', ""))
    used = {item.used_by for item in images(site, STACK) if "kube-router" in item.name}
    assert used == {"hosts"}, "the site still names it in site_network_policy_image"
    (site / "group_vars/all/site.yml").write_text(
        text.replace('  - "{{ site_network_policy_image }}"\n', "").replace("site_network_policy_image:", "site_other:")
    )
    assert not [item for item in images(site, STACK) if "kube-router" in item.name]


def test_keda_is_listed_once_a_model_follows_its_requests(tmp_path: Path) -> None:
    settings = yaml.safe_load(STACK.read_text())
    settings["config"]["qwen-onprem:models"][0]["autoscaling"] = {"min": 1, "max": 2}
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    assert not [item for item in images(EXAMPLE, STACK) if "keda" in item.name]
    scaled = needed(Site(EXAMPLE, stack=tmp_path / "Pulumi.yaml"), kinds=["image", "tool"])
    assert len([item for item in scaled if "keda" in item.name]) == 4


def test_without_a_stack_file_no_image_is_left_out(site: Path) -> None:
    without = {item.name.partition(":")[0] for item in images(site, None)}
    assert without >= {item.name.partition(":")[0] for item in images(EXAMPLE, STACK)}


def test_the_lists_of_another_release_are_by_its_versions(tmp_path: Path) -> None:
    text = (ROOT / "versions.yml").read_text().replace("1.34.4", "1.34.3")
    (tmp_path / "versions.yml").write_text(text)
    upstream = Upstream(tmp_path / "versions.yml")
    before = needed(Site(EXAMPLE, versions=upstream.versions), upstream=upstream)
    assert "kubernetes/kube-apiserver:v1.34.3" in names(before, "image")
    assert {item.version for item in before if item.name == "kubelet"} == {"1.34.3-1.1"}


def test_a_list_is_of_the_clone_that_it_is_run_from(tmp_path: Path) -> None:
    """Another tag has other locks: a clone of it answers for a change to it, and for the way back."""
    for folder in ("mirror", "images", "locks", "python/src/qwen_runtime", "inventory/example"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "versions.yml", tmp_path)
    lock = tmp_path / "locks/uv.txt"
    lock.write_text(re.sub(r"(?m)^uv==\S+", "uv==99.0", lock.read_text()))
    command = [sys.executable, tmp_path / "mirror/qwen-mirror", "list", tmp_path / "inventory/example"]
    listed = subprocess.run([*map(str, command), "--kind=wheel", "--format=json"], check=True, capture_output=True)
    assert {item["version"] for item in json.loads(listed.stdout) if item["name"] == "uv"} == {"99.0"}


def test_wheels_are_those_of_the_python_that_installs_them(listed: list[Item]) -> None:
    """The controller's lock is for several Pythons; Ubuntu 24.04 has 3.12."""
    controller = {item.name: item.version for item in listed if item.group.startswith("locks/controller.txt")}
    assert controller["atheris"] == "3.1.0"
    assert "httpx2-jsfetch" not in controller, "for browsers"
    assert {item.group.rpartition(" ")[2] for item in listed if item.kind == "wheel"} == {"3.12"}
    assert all(item.digests for item in listed if item.kind == "wheel")


def test_each_wheel_of_a_lock_is_listed_once_with_all_images_that_install_it(listed: list[Item]) -> None:
    wheels = [(item.group, item.name) for item in listed if item.kind == "wheel"]
    assert len(wheels) == len(set(wheels))
    [uv] = [item for item in listed if item.name == "uv"]
    assert uv.used_by == "image runtime-base, image runtime"


def test_a_model_has_its_size_and_the_manifest_that_the_site_vouches_for(listed: list[Item]) -> None:
    [model] = [item for item in listed if item.kind == "model"]
    assert model.source.endswith("/Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8")
    assert (model.size_bytes, model.digest) == (482_200_351_744, f"sha256:{'6' * 64}")


def test_a_controller_that_the_mirror_does_not_serve_is_left_out(site: Path) -> None:
    text = (site / "group_vars/all/site.yml").read_text()
    (site / "group_vars/all/site.yml").write_text(text.replace("site_controller_system: Ubuntu-24.04", ""))
    items = needed(Site(site, stack=STACK))
    assert not [item for item in items if "controller" in item.used_by.split(", ")]


def test_what_one_of_them_needs_can_be_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(EXAMPLE), "--format", "json", "--for", "controller"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {item["kind"] for item in found} == {"apt", "wheel", "tool"}
    assert all("controller" in item["used_by"].split(", ") for item in found)
    # They run the commands of docs/operate/install.md, step 3.
    assert {"curl", "python3-venv", "pip"} <= {item["name"] for item in found}


def test_a_user_that_the_site_does_not_have_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(EXAMPLE), "--for", "controler"]) == 2
    refused = capsys.readouterr().err
    assert "--for controler" in refused
    assert "controller" in refused.replace("controler", "")


@pytest.mark.parametrize("written", ["CentOS-7", ""])
def test_hosts_whose_system_is_not_known_are_refused_by_name(
    site: Path, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "group_vars/gpu/site.yml").write_text(f"site_system: '{written}'\n")
    assert main(["list", str(site)]) == 2
    found, needed, remedy = capsys.readouterr().err.splitlines()
    assert found == f"found:  site_system of dgx1: {written or 'nothing'}"
    assert "Ubuntu-22.04" in needed
    assert remedy.startswith("remedy: ")


def test_a_host_that_differs_from_the_others_of_its_group_has_what_it_needs_listed(site: Path) -> None:
    hosts = (site / "hosts.yml").read_text()
    own = "site_system: Ubuntu-24.04, own_image: registry.example.internal/own/tool:1"
    (site / "hosts.yml").write_text(hosts.replace("10.20.0.22 }", f"10.20.0.22, {own} }}"))
    items = needed(Site(site, stack=STACK), kinds=["apt", "image"])
    assert {"nvidia-dkms-580-open"} <= names(items, "apt", "jammy") & names(items, "apt", "noble")
    assert "own/tool:1" in names(items, "image")


def test_a_folder_that_is_no_inventory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(tmp_path / "none")]) == 2
    assert main(["list", str(tmp_path)]) == 2
    assert "no host in" in capsys.readouterr().err


def test_programs_get_every_field(capsys: pytest.CaptureFixture[str], listed: list[Item]) -> None:
    assert main(["list", str(EXAMPLE), "--format", "json", "--kind", "model"]) == 0
    [model] = json.loads(capsys.readouterr().out)
    assert model["name"] == "qwen3-coder-480b-a35b-instruct-fp8"
    assert set(model) >= {"kind", "at", "source", "size_bytes", "digest", "version"}


def test_copies_keep_their_digests_and_their_names_at_the_site(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(EXAMPLE), "--format", "skopeo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "skopeo copy --preserve-digests docker://registry.k8s.io/pause:3.10.1 "
        "docker://registry.example.internal/kubernetes/pause:3.10.1"
    ) in lines
    assert not [line for line in lines if "qwen-onprem/" in line], "these are built, not copied"


def test_inventories_of_software_get_each_item_once_with_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(EXAMPLE), "--format", "spdx", "--kind", "apt", "--kind", "image", "--kind", "model"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["spdxVersion"], document["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    packages = {package["SPDXID"]: package for package in document["packages"]}
    assert len(packages) == len(document["packages"]) == len(document["relationships"])
    locators = {package["externalRefs"][0]["referenceLocator"] for package in packages.values()}
    assert "pkg:deb/ubuntu/kubelet@1.34.4-1.1?arch=amd64&distro=jammy" in locators
    [envoy] = [package for package in packages.values() if "envoy" in package["name"]]
    assert envoy["checksums"] == [{"algorithm": "SHA256", "checksumValue": "2" * 64}]
    assert all(package["downloadLocation"] for package in packages.values())


def test_names_from_other_projects_are_recorded_from_public_listings(listed: list[Item]) -> None:
    """A name that nobody has looked up is refused here: it would be missed when a mirror is filled."""
    record = yaml.safe_load((ROOT / "tests/recorded/upstream/names.yml").read_text())
    named = {item.source for item in listed if item.is_copied}
    named |= {f"{item.name}={item.version}" for item in listed if item.kind == "apt" and item.version}
    named |= {item.digest for item in listed if item.kind == "key" and item.digest}
    known = [*record["seen"], *record["reasoned"]]
    assert not {name for name in named if not any(fnmatchcase(name, pattern) for pattern in known)}
    assert not [name for name in record["seen"] if name not in named], "recorded, and no longer taken"
