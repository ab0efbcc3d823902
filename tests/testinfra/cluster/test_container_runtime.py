"""containerd runs as configured and pulls from the site's registry."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from ..inventory import Expected


def registry_host(expected: Expected) -> str:
    """The registry without the path below which a site's images may lie."""
    return str(expected["container_runtime_registry"]).partition("/")[0]


def test_containerd_runs_now_and_at_boot(host: Host) -> None:
    service = host.service("containerd")
    assert service.is_running, host.run("journalctl -u containerd -n 20 --no-pager").stdout
    assert service.is_enabled


def test_the_configuration_in_force_names_the_sandbox_image(host: Host, expected: Expected) -> None:
    assert f'sandbox_image = "{expected["container_runtime_sandbox_image"]}"' in host.check_output(
        "containerd config dump"
    )


def test_the_registry_is_reached_as_the_inventory_says(host: Host, expected: Expected) -> None:
    folder = f"/etc/containerd/certs.d/{registry_host(expected)}"
    assert f'[host."{expected["container_runtime_registry_url"]}"]' in host.file(f"{folder}/hosts.toml").content_string


def test_only_root_reads_the_registrys_login(host: Host, expected: Expected) -> None:
    folder = f"/etc/containerd/certs.d/{registry_host(expected)}"
    assert host.file(f"{folder}/hosts.toml").mode == (0o600 if expected["container_runtime_registry_user"] else 0o644)


def test_every_image_comes_from_the_registry(host: Host, expected: Expected) -> None:
    images = host.check_output("ctr --namespace k8s.io images list --quiet").split()
    named = [image for image in images if not image.startswith("sha256:")]
    assert named
    assert not [image for image in named if not image.startswith(f"{expected['container_runtime_registry']}/")]


def test_service_settings_are_in_force(host: Host, expected: Expected) -> None:
    settings = dict(expected["container_runtime_service_settings"])
    if expected["container_runtime_locked_memory"]:
        settings["LimitMEMLOCK"] = expected["container_runtime_locked_memory"]
    for key, value in settings.items():
        assert host.check_output(f"systemctl show containerd --property={key} --value") == value


def test_what_kubernetes_uses_is_configured_in_one_file(host: Host) -> None:
    named = host.run("grep --files-with-matches --recursive io.containerd.grpc.v1.cri /etc/containerd").stdout.split()
    assert named == ["/etc/containerd/conf.d/10-cri.toml"]


def test_docker_runs_where_it_is_chosen(host: Host, expected: Expected) -> None:
    if expected["container_runtime_engine"] != "docker":
        pytest.skip("the site chose containerd alone")
    service = host.service("docker")
    assert service.is_running, host.run("journalctl -u docker -n 20 --no-pager").stdout
    assert service.is_enabled
    docker_info = json.loads(host.check_output("docker info --format '{{json .}}'"))
    assert docker_info["CgroupDriver"] == ("systemd" if expected["container_runtime_systemd_cgroup"] else "cgroupfs")
    plain_http = expected["container_runtime_registry_url"].startswith("http://")
    assert (registry_host(expected) in docker_info["RegistryConfig"]["IndexConfigs"]) == plain_http
