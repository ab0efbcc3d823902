"""A site's images may lie below a path of its registry: names have it, and what asks the registry's host does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from qwen_runtime import site_registry

from mirror.site import Host, Site
from tests.support.site_registries import REFUSED, TAKEN

from . import refusals
from .rendering import evaluate, render

EXAMPLE = Path(__file__).parents[3] / "inventory/example"
HOST, REGISTRY = "harbor.example.internal", "harbor.example.internal/qwen"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The example whose registry has a project."""
    file = tmp_path_factory.mktemp("site") / "values.yml"
    runtime = f"{REGISTRY}/qwen-onprem/runtime@sha256:{'1' * 64}"
    values = {"site_registry": REGISTRY, "site_gpu_images": [runtime], "vault_registry_password": "secret"}
    file.write_text(yaml.safe_dump(values))
    return Site(EXAMPLE, extra_vars=[file])


def host(site: Site, name: str) -> Host:
    return next(host for host in site.hosts if host.name == name)


def test_every_image_that_hosts_name_lies_below_the_path(site: Site) -> None:
    references = site.image_references() | {f"{site.value('kubernetes_image_repository')}/kube-apiserver:v1"}
    assert len(references) > 5
    assert all(reference.startswith(f"{REGISTRY}/") for reference in references)


def test_names_of_servers_and_certificates_are_the_host_alone(site: Site) -> None:
    names = site.value("mirror_server_names", host(site, "mirror1"))
    assert names == ["mirror.example.internal", "harbor.example.internal"]
    servers = site.value("preflight_servers", host(site, "dgx1"))
    assert evaluate("preflight", "__preflight_server_names", preflight_servers=servers) == [*names, "10.20.0.5"]


def test_containerd_and_docker_know_the_registry_by_its_host(site: Site) -> None:
    """containerd reads the folder of an image's host; a folder with a path is one that it never opens."""
    variables = {
        name: site.value(name, host(site, "dgx1"))
        for name in ("container_runtime_registry", "container_runtime_registry_user")
    }
    variables |= {
        "container_runtime_registry_password": "secret",
        "container_runtime_registry_ca_file": "/etc/hostname",
    }
    folder = f"/etc/containerd/certs.d/{HOST}"
    assert evaluate("container_runtime", "__container_runtime_registry_dir", **variables) == folder
    text = render("container_runtime/templates/hosts.toml.j2", **variables)
    assert f'server = "https://{HOST}"\n' in text
    assert f'[host."https://{HOST}".header]\n  Authorization = "Basic ' in text
    assert f'ca = "{folder}/ca.crt"' in text
    assert evaluate("container_runtime", "__container_runtime_question", **variables)["url"] == f"https://{HOST}"
    variables["container_runtime_registry_url"] = f"http://{HOST}"
    docker = evaluate("container_runtime", "__container_runtime_docker", **variables)
    assert docker["insecure-registries"] == [HOST]


def test_names_are_judged_as_by_everything_else() -> None:
    pattern = evaluate("container_runtime", "__container_runtime_registry_pattern")
    assert pattern == site_registry.PATTERN


def test_a_registry_that_no_image_can_be_named_by_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    """Names that are taken come as far as the question to the registry, where nobody answers."""
    url = {"container_runtime_registry_url": "https://127.0.0.1:9", "container_runtime_sandbox_image": "pause"}
    cases = {f"host{n}": {**url, "container_runtime_registry": name} for n, name in enumerate(REFUSED + TAKEN)}
    tasks = [{"ansible.builtin.import_role": {"name": "container_runtime", "tasks_from": "preflight"}}]
    messages = refusals.refused(tmp_path, tasks, cases)
    for name, message in zip(REFUSED, (messages[f"host{n}"] for n in range(len(REFUSED))), strict=True):
        expected = "needed host[:port] or host[:port]/path" if name else "needed the site's registry"
        assert expected in message
    for n, name in enumerate(TAKEN, len(REFUSED)):
        assert messages[f"host{n}"].startswith("Found no answer"), name
