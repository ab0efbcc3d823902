"""A site whose images lie below a project of its registry lists, brings, asks and signs them there and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from images import provenance
from mirror.bring import images as bringing
from mirror.carry.image_layout import layout_of
from mirror.command import main
from mirror.item import Item
from mirror.needs.images import BUILT
from mirror.needs.items import needed
from mirror.site import Site
from mirror.tools.programs import ToolError
from mirror.vouch import images as vouched
from tests.fakes import site_mirror
from tests.fakes.registry import CONFIG, digest_of
from tests.fakes.site_mirror import SiteMirror
from tests.support.site_registries import REFUSED

EXAMPLE = Path(__file__).parents[3] / "inventory/example"
PROJECT = "qwen"
OWN = ("runtime", "prometheus", "alertmanager")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteMirror]:
    with site_mirror.serve(tmp_path_factory.mktemp("mirror"), PROJECT) as served:
        yield served


@pytest.fixture(scope="module")
def registry(mirror: SiteMirror) -> str:
    return f"127.0.0.1:{mirror.port}/{PROJECT}"


@pytest.fixture(scope="module")
def options(mirror: SiteMirror, registry: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that make the example's site one whose images lie in the project."""
    folder = tmp_path_factory.mktemp("site")
    names = {name: f"qwen-onprem/{name}" for name in OWN} | {"gateway": "envoyproxy/envoy"}
    images = {
        name: f"{registry}/{path}@{mirror.registry.add_image(f'{PROJECT}/{path}')}" for name, path in names.items()
    }
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"config": {"qwen-onprem:images": images}}))
    values = {
        "site_registry": registry,
        "site_ca_file": str(mirror.authority),
        "site_gpu_images": [images["runtime"]],
        "vault_registry_password": site_mirror.PASSWORD,
    }
    (folder / "values.yml").write_text(yaml.safe_dump(values))
    return ["--stack", str(folder / "Pulumi.yaml"), "--extra-vars", str(folder / "values.yml"), "--kind", "image"]


@pytest.fixture(scope="module")
def listed(options: list[str]) -> list[Item]:
    return needed(Site(EXAMPLE, stack=Path(options[1]), extra_vars=[Path(options[3])]), kinds=["image"])


@pytest.fixture
def filled(mirror: SiteMirror, listed: list[Item]) -> Iterator[None]:
    """The project with all that is listed; nothing outside of it was asked for in the end."""
    for item in listed:
        mirror.registry.add_image(f"{PROJECT}/{item.name}")
    mirror.registry.refused.clear()
    yield
    assert not mirror.registry.refused


def test_every_image_lies_below_the_path_and_is_called_as_at_any_site(registry: str, listed: list[Item]) -> None:
    assert {item.at.removesuffix(item.name) for item in listed} == {f"{registry}/"}
    elsewhere = needed(Site(EXAMPLE), kinds=["image"])
    assert {item.name.partition(":")[0] for item in listed} <= {item.name.partition(":")[0] for item in elsewhere}
    assert f"{registry}/kubernetes/kube-apiserver:v1.34.4" in {item.at for item in listed}


def test_copies_and_inventories_of_software_name_the_path(
    registry: str, options: list[str], listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(EXAMPLE), *options, "--format", "skopeo"]) == 0
    targets = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert targets == [f"docker://{item.at}" for item in listed if item.is_copied]
    assert main(["list", str(EXAMPLE), *options, "--format", "spdx"]) == 0
    packages = json.loads(capsys.readouterr().out)["packages"]
    [runtime] = [package for package in packages if package["name"] == "qwen-onprem/runtime"]
    quoted = f"{registry}/qwen-onprem/runtime".replace("/", "%2F").replace(":", "%3A")
    assert runtime["externalRefs"][0]["referenceLocator"] == f"pkg:oci/runtime?repository_url={quoted}"


def test_what_was_brought_is_found_by_the_hosts_login(
    mirror: SiteMirror, options: list[str], listed: list[Item], tmp_path: Path, log_in: None
) -> None:
    """Carried by its name at the site, so that a folder has the same files for every site."""
    gone = next(item for item in listed if item.is_copied)
    make_layout(tmp_path / "images", gone)
    assert (tmp_path / "images" / gone.name.partition(":")[0]).is_dir()
    for item in listed:
        if item != gone:
            mirror.registry.add_image(f"{PROJECT}/{item.name}")
    mirror.registry.manifests.pop(f"{PROJECT}/{gone.name}", None)
    mirror.registry.refused.clear()
    assert main(["check", str(EXAMPLE), *options]) == 1
    assert bringing.push(tmp_path, [gone], mirror.authority, [], tmp_path) == [gone.at]
    assert main(["check", str(EXAMPLE), *options]) == 0
    assert not mirror.registry.refused


def test_a_project_that_is_not_there_is_named_when_an_image_is_brought(
    mirror: SiteMirror, listed: list[Item], tmp_path: Path, log_in: None
) -> None:
    image = next(item for item in listed if item.is_copied)
    make_layout(tmp_path / "images", image)
    outside = Item("image", "", image.name, image.at.replace(f"/{PROJECT}/", "/absent/"), image.source)
    with pytest.raises(ToolError, match=r"unauthorized.*\nneeded: .*\nremedy: Make the project first"):
        bringing.push(tmp_path, [outside], mirror.authority, [], tmp_path)


@pytest.fixture
def log_in(mirror: SiteMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login of who brings images, as `skopeo login` keeps it for the host."""
    auth = base64.b64encode(f"{site_mirror.PUSHER}:{site_mirror.PASSWORD}".encode()).decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {f"127.0.0.1:{mirror.port}": {"auth": auth}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))


def make_layout(folder: Path, item: Item) -> None:
    """A carried image without layers."""
    layout, tag = layout_of(folder, item)
    layout.mkdir(parents=True)
    (folder / "blobs/sha256").mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        (folder / "blobs" / digest_of(content).replace(":", "/")).write_bytes(content)
        kind = f"application/vnd.oci.image.{kind}.v1+json"
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}

    config = blob(CONFIG, "config")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config}
    entry = blob(json.dumps({**manifest, "layers": []}).encode(), "manifest")
    entry["annotations"] = {bringing.NAME: tag}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def test_an_image_whose_path_was_forgotten_is_named(
    mirror: SiteMirror, options: list[str], filled: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forgotten = f"127.0.0.1:{mirror.port}/qwen-onprem/runtime@sha256:{'1' * 64}"
    (tmp_path / "forgotten.yml").write_text(yaml.safe_dump({"site_gpu_images": [forgotten]}))
    assert main(["check", str(EXAMPLE), *options, "--extra-vars", str(tmp_path / "forgotten.yml")]) == 1
    out = capsys.readouterr().out
    assert f"needed: {forgotten}" in out
    assert re.search(r"project qwen-onprem not found\n.*\n  remedy: .* correct the name's beginning", out)
    assert "missing: 1;" in out
    mirror.registry.refused.clear()


def test_the_signed_list_has_full_names_and_the_statements_of_builds(
    registry: str, options: list[str], listed: list[Item], filled: None, tmp_path: Path
) -> None:
    statements = {}
    for item in listed:
        if item.source == BUILT:
            file = tmp_path / provenance.file_of(item.name.partition(":")[0], item.digest)
            file.write_text(json.dumps({"subject": [{"digest": {"sha256": item.digest.removeprefix("sha256:")}}]}))
            statements[item.at] = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    key = tmp_path / "site.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    signing = ["--key", str(key), "--to", str(tmp_path / "images.json"), "--provenance", str(tmp_path)]
    assert main(["vouch", str(EXAMPLE), *options, *signing]) == 0
    assert json.loads((tmp_path / "images.json").read_text())["site"] == registry
    entries = vouched.read(tmp_path / "images.json")
    assert {entry["name"] for entry in entries} == {item.at for item in listed}
    assert {e["name"]: e["provenance"] for e in entries if "provenance" in e} == statements


def test_contents_are_read_below_the_path(options: list[str], filled: None, tmp_path: Path) -> None:
    assert main(["sbom", str(EXAMPLE), *options, "--to", str(tmp_path), "--image", "qwen-onprem/runtime"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["qwen-onprem_runtime.spdx.json"]


def test_a_registry_that_no_image_can_be_named_by_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in REFUSED[1:4]:
        (tmp_path / "values.yml").write_text(yaml.safe_dump({"site_registry": name}))
        assert main(["list", str(EXAMPLE), *options, "--extra-vars", str(tmp_path / "values.yml")]) == 2
        assert capsys.readouterr().err.startswith(f"found:  site_registry: {name!r}\nneeded: host[:port]")
