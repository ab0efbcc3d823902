"""Packages come from the site's mirror alone, and Kubernetes moves only when someone moves it."""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

from ..inventory import Expected


def test_the_sites_repository_is_the_only_source(host: Host, expected: Expected) -> None:
    if not expected["base_apt_exclusive"]:
        pytest.skip("the site allows other package sources")
    uris = host.check_output("apt-get indextargets --format '$(REPO_URI)'").split()
    assert {uri.rstrip("/") for uri in uris} == {expected["base_apt_url"].rstrip("/")}


def test_the_system_trusts_the_sites_authority(host: Host, expected: Expected) -> None:
    if not expected["base_ca_file"]:
        pytest.skip("the site has no authority of its own")
    trusted = Path(expected["base_ca_file"]).read_text()
    assert host.file("/etc/ssl/certs/site-ca.pem").content_string == trusted
    assert trusted in host.file("/etc/ssl/certs/ca-certificates.crt").content_string


def test_apt_looks_for_its_repository_without_service_records(host: Host) -> None:
    assert host.check_output("apt-config dump Acquire::EnableSrvRecords") == 'Acquire::EnableSrvRecords "false";'


@pytest.mark.parametrize("package", ["kubelet", "kubeadm", "kubectl"])
def test_kubernetes_package_has_the_pinned_version(host: Host, expected: Expected, package: str) -> None:
    assert host.package(package).version == expected["kubernetes_package_version"]


def test_cni_package_has_the_pinned_version(host: Host, expected: Expected) -> None:
    assert host.package("kubernetes-cni").version == expected["kubernetes_cni_package_version"]


def test_kubernetes_packages_are_held(host: Host) -> None:
    held = set(host.check_output("apt-mark showhold").split())
    assert held >= {"kubelet", "kubeadm", "kubectl", "kubernetes-cni"}
