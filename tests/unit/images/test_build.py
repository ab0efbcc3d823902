"""Rules for building an image again, and refusals before a build; they need no registry and no buildah."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime.site_registry import SiteRegistry

from images.build import selected
from images.builder import Builder
from images.catalog import Image, ImageError, choose, load
from images.registry import Registry
from images.storage import opened
from tests.support.web import Quiet, served

CONFIG = json.dumps({"config": {"Labels": {"made-from": "abc"}}}).encode()
LAYER = b"layer"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


MANIFEST = json.dumps(
    {
        "config": {"digest": digest(CONFIG), "size": len(CONFIG)},
        "layers": [{"digest": digest(LAYER), "size": len(LAYER)}],
    }
).encode()


@pytest.fixture
def contents() -> dict[str, bytes]:
    """Contents of the fake registry: one image, tag v1."""
    return {
        "/v2/image/manifests/v1": MANIFEST,
        f"/v2/image/blobs/{digest(CONFIG)}": CONFIG,
        f"/v2/image/blobs/{digest(LAYER)}": LAYER,
    }


@pytest.fixture
def logins() -> list[str]:
    """Login of each request to the registry."""
    return []


@pytest.fixture
def registry(contents: dict[str, bytes], logins: list[str]) -> Iterator[Registry]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            body = contents.get(self.path)
            self.send_response(404 if body is None else 200)
            logins.append(self.headers.get("Authorization", ""))
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

    with served(Handler) as port:
        yield Registry(SiteRegistry(f"127.0.0.1:{port}"), plain_http=True)


def test_a_registry_is_asked_with_the_login_that_buildah_keeps_for_it(
    registry: Registry, logins: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(kept))
    registry.digest("image", "v1")
    logged_in = {registry.site.host: {"auth": "dXNlcjpwYXNz"}, "other:5000": {"auth": "eA=="}}
    kept.write_text(json.dumps({"auths": logged_in}))
    registry.digest("image", "v1")
    assert logins == ["", "Basic dXNlcjpwYXNz"]


@pytest.fixture
def builder(tmp_path: Path, registry: Registry) -> Builder:
    for folder in ("bin", "wheels", "code"):
        (tmp_path / folder).mkdir()
    return Builder(SiteRegistry("mirror:5000"), registry, tmp_path / "bin", tmp_path / "wheels", tmp_path / "code")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    return Image("tool", "kubernetes/tool", tmp_path / "Containerfile", tag="v1", binaries=("tool",))


def wheel(path: Path, record: str, year: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x-1.dist-info/RECORD", (year, 1, 1, 0, 0, 0)), record)


def test_a_changed_binary_is_a_new_image(builder: Builder, image: Image) -> None:
    assert builder.bin is not None
    (builder.bin / "tool").write_bytes(b"one")
    first = builder.inputs(image, None)
    assert builder.inputs(image, None) == first
    (builder.bin / "tool").write_bytes(b"two")
    assert builder.inputs(image, None) != first


def test_a_changed_base_is_a_new_image(builder: Builder, image: Image) -> None:
    image = dataclasses.replace(image, binaries=())
    assert builder.inputs(image, ("debian", "sha256:a")) != builder.inputs(image, ("debian", "sha256:b"))


def test_a_wheel_built_again_from_the_same_code_is_no_new_image(builder: Builder, image: Image) -> None:
    assert builder.code is not None
    image = dataclasses.replace(image, binaries=(), code=True)
    wheel(builder.code / "x-1-py3-none-any.whl", "a.py,sha256=1,1", year=2024)
    first = builder.inputs(image, None)
    wheel(builder.code / "x-1-py3-none-any.whl", "a.py,sha256=1,1", year=2025)
    assert builder.inputs(image, None) == first
    wheel(builder.code / "x-1-py3-none-any.whl", "a.py,sha256=2,1", year=2025)
    assert builder.inputs(image, None) != first


def test_an_update_in_the_mirror_reaches_images_with_packages_and_no_others(
    builder: Builder, image: Image, tmp_path: Path
) -> None:
    release = tmp_path / "InRelease"
    builder.releases = [release]
    image = dataclasses.replace(image, binaries=())
    with_packages = dataclasses.replace(image, packages=("prometheus",))
    inputs = []
    for content in ("libssl3 3.0.15", "libssl3 3.0.16"):
        release.write_text(content)
        inputs.append((builder.inputs(with_packages, None), builder.inputs(image, None)))
    (before, before_without), (after, after_without) = inputs
    assert before != after
    assert before_without == after_without


def test_lists_of_the_mirror_that_are_not_there_are_named_before_anything_is_built(
    builder: Builder, image: Image, tmp_path: Path
) -> None:
    builder.releases = [tmp_path / "InRelease"]
    with pytest.raises(ImageError, match="InRelease"):
        builder.check([image])


def test_every_missing_input_is_named_before_anything_is_built(builder: Builder, image: Image) -> None:
    with pytest.raises(ImageError, match=r"bin/tool.*wheels/uv-.*code/\*\.whl"):
        builder.check([dataclasses.replace(image, code=True)])


def test_an_absent_base_is_named(builder: Builder, image: Image) -> None:
    with pytest.raises(ImageError, match="no debian:stable in the registry"):
        builder.base(dataclasses.replace(image, base="debian:stable"))


def test_labels_of_a_whole_image_are_read(registry: Registry) -> None:
    assert registry.labels("image", "v1") == {"made-from": "abc"}
    assert registry.digest("image", "v1") == digest(MANIFEST)


@pytest.mark.parametrize("damage", [None, b"lay"], ids=["lost", "truncated"])
def test_an_image_without_its_whole_layers_counts_as_absent(
    registry: Registry, contents: dict[str, bytes], damage: bytes | None
) -> None:
    path = f"/v2/image/blobs/{digest(LAYER)}"
    del contents[path]
    if damage is not None:
        contents[path] = damage
    assert registry.labels("image", "v1") == {}


def test_a_silent_registry_is_named_with_its_address() -> None:
    with pytest.raises(ImageError, match=r"127\.0\.0\.1:1 "):
        Registry(SiteRegistry("127.0.0.1:1"), plain_http=True).digest("image", "v1")


def test_the_runtime_brings_its_base_and_asks_for_its_variant() -> None:
    assert [i.name for i in selected(choose(load(), "cpu"), ["runtime"])] == ["base-debian", "runtime-base", "runtime"]
    with pytest.raises(ImageError, match="--variant"):
        selected(choose(load(), None), ["runtime"])


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ImageError, match=r"rutnime.*\n.*runtime"):
        selected(choose(load(), "cpu"), ["rutnime"])
    with pytest.raises(ImageError, match="cpu, cuda"):
        choose(load(), "gpu")


def test_storage_removes_what_a_killed_run_left_and_itself(tmp_path: Path) -> None:
    left = tmp_path / "work/storage/half"
    left.mkdir(parents=True)
    with opened(tmp_path / "work") as storage:
        assert not left.exists()
        (storage.temporary / "context").mkdir()
    assert not (tmp_path / "work").exists()


def test_two_builds_do_not_share_a_storage(tmp_path: Path) -> None:
    with opened(tmp_path / "work"), pytest.raises(ImageError, match="another build"), opened(tmp_path / "work"):
        pass
