"""The list of packages has everything that a role would install, on each system."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError

from mirror.needs import role_packages
from mirror.needs.role_packages import PACKAGE_MODULES, RolePackages
from mirror.site import Site

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "inventory/example"
TASKS = sorted((ROOT / "ansible/roles").glob("*/tasks/*.yml"))
INSTALLS = re.compile(
    r"^\s*(?:- )?(ansible\.builtin\.(?:apt|package|dpkg_selections)|qwen_onprem\.hosts\.pinned_packages):", re.MULTILINE
)


def roles(system: str) -> RolePackages:
    site = Site(EXAMPLE)
    return RolePackages(site.loader, site.inventory, system)


def packages(system: str, group: str) -> set[str]:
    """Packages of the example's hosts of a group, if they ran that system."""
    hosts = [host for host in Site(EXAMPLE).hosts if group in (*host.variables["group_names"], "all")]
    return {package for host in hosts for package in roles(system).on(host)}


def test_what_hosts_of_each_kind_cannot_do_without_is_listed() -> None:
    control_plane, gpu = packages("Ubuntu-24.04", "control_plane"), packages("Ubuntu-22.04", "gpu")
    assert {"haproxy", "keepalived"} <= control_plane
    assert not {"haproxy", "keepalived"} & gpu
    assert {"mdadm", "xfsprogs", "linux-headers-nvidia"} <= gpu
    assert {"nftables", "chrony", "containerd", "kubernetes-cni=1.7.1-1.1"} <= control_plane & gpu
    assert not {name for name in control_plane if "nvidia" in name}


def test_each_system_has_its_own_names() -> None:
    debian, ubuntu = packages("Debian-12", "gpu"), packages("Ubuntu-22.04", "gpu")
    assert {name.partition("=")[0] for name in debian} >= {"libcuda1", "nvidia-kernel-open-dkms"}
    assert {name.partition("=")[0] for name in ubuntu} >= {"libnvidia-compute-580", "nvidia-dkms-580-open"}


def test_what_is_pinned_has_its_version_and_nothing_else_has_one() -> None:
    listed = packages("Ubuntu-24.04", "cluster")
    assert {name.partition("=")[0] for name in listed if name.startswith("kube")} == {
        *("kubelet", "kubeadm", "kubectl", "kubernetes-cni"),
    }
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(=\d[^=\s]*)?", name) for name in listed), listed


@pytest.mark.parametrize("file", TASKS, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_every_task_that_installs_packages_is_read(file: Path) -> None:
    """A module that the command does not know would leave packages out of the mirror without a word."""
    modules = INSTALLS.findall(file.read_text())
    tasks = list(role_packages._tasks({"tasks": yaml.safe_load(file.read_text()) or []}))
    assert sorted(modules) == sorted(module for task in tasks for module in PACKAGE_MODULES if module in task)


@pytest.mark.parametrize("file", TASKS, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_no_command_installs_packages(file: Path) -> None:
    assert not re.search(r"\b(apt-get|apt|dpkg)\b.*\b(install|--install|-i)\b", file.read_text())


def test_every_role_that_installs_packages_is_in_a_playbook() -> None:
    installing = {file.parts[-3] for file in TASKS if INSTALLS.search(file.read_text())}
    assert installing <= {role for _, role in roles("Debian-12")._plays()}


def test_a_package_that_is_known_only_on_a_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_packages, "PLAYBOOKS", tmp_path)
    (tmp_path / "hosts.yml").write_text("- hosts: gpu\n  roles: [some]\n")
    (tmp_path / "roles/some/tasks").mkdir(parents=True)
    (tmp_path / "roles/some/tasks/main.yml").write_text(
        "- name: Install\n"
        "  qwen_onprem.hosts.pinned_packages: {name: some, packages: '{{ __some_read.stdout_lines }}'}\n"
    )
    with pytest.raises(AnsibleError, match=r"found: packages of some, task 'Install', that depend on what is read"):
        packages("Debian-12", "gpu")


def test_a_package_in_a_roles_variables_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_packages, "PLAYBOOKS", tmp_path)
    (tmp_path / "hosts.yml").write_text("- hosts: gpu\n  roles: [some]\n")
    for folder, text in {
        "tasks": "- name: Install\n"
        "  qwen_onprem.hosts.pinned_packages: {name: some, packages: '{{ __some_packages }}'}\n",
        "vars": "__some_packages: \"{{ {'headers': '*', 'tool-' ~ some_major: some_major ~ '-1', 'none': '-1'} }}\"\n",
        "defaults": "some_major: '2'\n",
    }.items():
        (tmp_path / "roles/some" / folder).mkdir(parents=True)
        (tmp_path / "roles/some" / folder / "main.yml").write_text(text)
    assert packages("Debian-12", "gpu") == {"headers", "tool-2=2-1"}
