"""The images that the site registry holds after an import and a build, by their own configuration."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from typing import Any

import pytest

from images.builder import INPUTS_LABEL
from images.catalog import Image, choose, load
from images.registry import ACCEPT
from lab import versions
from lab.mirror.client import REGISTRY_ADDRESS, authorization, trusted
from lab.mirror.upstream_images import CATALOGUES
from lab.paths import REPO
from mirror.upstream import Upstream

OWN = choose(load(), "cpu")
PODS = [image for image in OWN if not image.suite]
SITE_NAMES = {source: name for name, source in Upstream(versions.written()).all_images().items()}


def carried(image: Image) -> Image:
    """An image of another project under the name that the site gives it."""
    return replace(image, repository=SITE_NAMES[f"{image.repository}:{image.tag}"].rpartition(":")[0])


CARRIED = [carried(image) for path in CATALOGUES for image in load(REPO / path, versions.written())]
IMAGES = OWN + CARRIED


def get(path: str) -> dict[str, Any]:
    headers = {"Accept": ACCEPT, **authorization()}
    request = urllib.request.Request(f"https://{REGISTRY_ADDRESS}/v2/{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=30, context=trusted()) as answer:
        return json.load(answer)


@pytest.fixture(scope="module", autouse=True)
def registry() -> None:
    try:
        get("_catalog")
    except (urllib.error.URLError, OSError) as error:
        pytest.skip(f"the mirror's registry at {REGISTRY_ADDRESS} does not answer: {error}")


def manifest(image: Image) -> dict[str, Any]:
    """Manifest of the image's tag, or of the first tag if tags are digests of inputs."""
    tag = image.tag or get(f"{image.repository}/tags/list")["tags"][0]
    return get(f"{image.repository}/manifests/{tag}")


def config(image: Image) -> dict[str, Any]:
    return get(f"{image.repository}/blobs/{manifest(image)['config']['digest']}")["config"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda i: i.name)
def test_layers_are_ones_that_containerd_takes(image: Image) -> None:
    kinds = {layer["mediaType"] for layer in manifest(image)["layers"]}
    assert kinds <= {f"application/vnd.oci.image.layer.v1.tar+{c}" for c in ("zstd", "gzip")}


@pytest.mark.parametrize("image", IMAGES, ids=lambda i: i.name)
def test_images_say_what_they_are_made_from(image: Image) -> None:
    labels = config(image)["Labels"]
    assert len(labels[INPUTS_LABEL]) == 64
    assert labels["org.opencontainers.image.title"]
    assert ("org.opencontainers.image.base.digest" in labels) == (image.base is not None)


@pytest.mark.parametrize("image", PODS, ids=lambda i: i.name)
def test_own_images_do_not_run_as_root(image: Image) -> None:
    assert config(image)["User"] == "10001:10001"


def test_the_runtime_starts_the_server_and_names_its_ports() -> None:
    (image,) = [i for i in OWN if i.name == "runtime"]
    entry = config(image)
    assert entry["Entrypoint"] == ["qwen-runtime"]
    assert set(entry["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
