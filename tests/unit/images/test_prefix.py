"""Images are built below the path of a registry that has projects, and nothing is asked or pushed outside of it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from qwen_runtime.site_registry import SiteRegistry

from images.catalog import ImageError
from images.registry import Registry
from tests.fakes import registry as fake
from tests.support.site_registries import REFUSED
from tests.support.web import Quiet, served

ROOT = Path(__file__).parents[3]
LogIn = Callable[[str], object]
USER, PASSWORD = "robot$qwen+builder", "secret"


@pytest.fixture
def harbor() -> fake.Registry:
    return fake.Registry({USER: PASSWORD}, projects=frozenset({"qwen"}))


@pytest.fixture
def host(harbor: fake.Registry) -> Iterator[str]:
    class Handler(Quiet):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            harbor.answer(self)

        do_HEAD = do_POST = do_PATCH = do_PUT = do_GET

    with served(Handler) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Keeps the login for a host, or for a host with a path, as `buildah login` does."""
    kept = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(kept))
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return lambda at: kept.write_text(json.dumps({"auths": {at: {"auth": auth}}}))


@pytest.mark.parametrize("at", ["", "/qwen", "/qwen/debian"], ids=["host", "project", "repository"])
def test_the_registry_is_asked_below_its_path_with_the_login_of_host_or_path(
    harbor: fake.Registry, host: str, log_in: LogIn, at: str
) -> None:
    digest = harbor.add_image("qwen/debian:stable", {"made-from": "abc"})
    log_in(f"{host}{at}")
    registry = Registry(SiteRegistry(host, "qwen"), plain_http=True)
    assert registry.digest("debian", "stable") == digest
    assert registry.labels("debian", "stable") == {"made-from": "abc"}
    assert registry.digest("debian", "other") is None
    assert not harbor.refused


def test_the_login_of_another_project_is_not_sent(harbor: fake.Registry, host: str, log_in: LogIn) -> None:
    log_in(f"{host}/other")
    with pytest.raises(ImageError, match="401"):
        Registry(SiteRegistry(host, "qwen"), plain_http=True).digest("debian", "stable")


def test_a_project_that_is_not_there_is_named(host: str, log_in: LogIn) -> None:
    log_in(host)
    with pytest.raises(ImageError, match=r"project debian not found.*\n.*\nremedy: .*make that of the path"):
        Registry(SiteRegistry(host), plain_http=True).digest("debian", "stable")


@pytest.mark.skipif(not shutil.which("buildah") or os.geteuid() != 0, reason="builds with buildah, as root")
def test_base_image_reference_and_labels_are_below_the_path(
    harbor: fake.Registry, host: str, log_in: LogIn, tmp_path: Path
) -> None:
    base = harbor.add_image("qwen/debian:stable")
    log_in(host)
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/Containerfile").write_text(
        "ARG REGISTRY\nARG BASE_DIGEST\nFROM ${REGISTRY}/debian@${BASE_DIGEST}\nCOPY tool /tool\n"
    )
    (tmp_path / "tool/program").write_text("")
    entry = {"repository": "qwen-onprem/tool", "base": "debian:stable", "binaries": ["tool"]}
    (tmp_path / "catalog.yml").write_text(yaml.safe_dump({"tool": {**entry, "containerfile": "tool/Containerfile"}}))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("program")
    options = {"catalog": tmp_path / "catalog.yml", "bin": tmp_path / "bin", "work": tmp_path / "work"}
    options |= {"provenance": tmp_path / "provenance", "push-to": f"{host}/qwen"}

    def build() -> dict[str, object]:
        """Output of the command, for a registry that the cluster knows by another host."""
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "images.build", "--registry=harbor.example.internal/qwen", "--plain-http"]
        ended = subprocess.run([*command, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    first = build()
    reference = first["images"]["tool"]
    assert reference.startswith("harbor.example.internal/qwen/qwen-onprem/tool@sha256:")
    digest = reference.partition("@")[2]
    assert f"qwen/qwen-onprem/tool@{digest}" in harbor.manifests
    config = json.loads(harbor.manifests[f"qwen/qwen-onprem/tool@{digest}"])["config"]["digest"]
    labels = json.loads(harbor.blobs[config])["config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == "harbor.example.internal/qwen/debian"
    assert labels["org.opencontainers.image.base.digest"] == base
    statement = json.loads((tmp_path / f"provenance/qwen-onprem_tool@{digest.replace(':', '-')}.json").read_text())
    assert statement["subject"][0]["name"] == "harbor.example.internal/qwen/qwen-onprem/tool"
    assert build() == {"images": first["images"], "built": []}, "the label is found below the path"
    assert not harbor.refused


@pytest.mark.parametrize("option", ["--registry", "--push-to"])
def test_a_name_that_no_image_can_begin_with_is_refused(option: str) -> None:
    """Also without a variable of the environment that leads to the runtime package."""
    names = {"--registry": "registry.example.internal", option: REFUSED[1]}
    command = [sys.executable, "-m", "images.build", *(f"{name}={value}" for name, value in names.items())]
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(command, cwd=ROOT, env=bare, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    found, needed, remedy = ended.stderr.splitlines()
    assert found == f"found:  {option}: '{REFUSED[1]}'"
    assert needed.startswith("needed: host[:port] or host[:port]/path")
    assert remedy.startswith("remedy: Write it as")
