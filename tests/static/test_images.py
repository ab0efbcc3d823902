"""Rendered Containerfiles are current, and keep the rules that every image of the bundle follows."""

from __future__ import annotations

import re

import pytest

from images import render
from images.catalog import ROOT, Image, load
from lab import versions
from mirror.upstream import Upstream

IMAGES = load()
LAB_IMAGES = load(ROOT / "lab/gpu/programs/images.yml")
CATALOGUES_OF_BUILDS = tuple(
    f"lab/{name}.yml" for name in ("kubernetes/images", "kubernetes/keda", "gateway/images", "logs/images")
)
LAB_BUILDS = [image for catalog in CATALOGUES_OF_BUILDS for image in load(ROOT / catalog)]
EVERY = IMAGES + LAB_IMAGES + LAB_BUILDS
OWN = [i for i in IMAGES if i.repository.startswith("qwen-onprem/")]
RUN = [i for i in OWN if not i.suite]
"""Images that pods run, which the bases are not."""


def named(image: Image) -> str:
    return f"{image.name}-{image.variant}" if image.variant else image.name


every_image = pytest.mark.parametrize("image", EVERY, ids=named)
own_image = pytest.mark.parametrize("image", OWN, ids=named)


def instructions(image: Image) -> list[tuple[str, str]]:
    """(instruction, arguments) of the Containerfile, continuation lines joined."""
    text = re.sub(r"\\\n\s*", " ", image.containerfile.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def of(image: Image, instruction: str) -> list[str]:
    return [arguments for name, arguments in instructions(image) if name == instruction]


def test_committed_containerfiles_are_what_their_templates_give() -> None:
    assert not render.differences(), "run: python -m images.render"
    for catalog in CATALOGUES_OF_BUILDS:
        assert not render.differences(ROOT / catalog), f"run: python -m images.render --catalog {catalog}"


def test_every_rendered_containerfile_belongs_to_the_catalogue() -> None:
    known = {i.containerfile for i in EVERY}
    assert set((ROOT / "images").glob("*/Containerfile*")) - {i.template for i in IMAGES} <= known


def test_every_folder_has_a_readme() -> None:
    assert not [folder for folder in {i.containerfile.parent for i in EVERY} if not (folder / "README.md").exists()]


@pytest.mark.parametrize("image", IMAGES + LAB_BUILDS, ids=named)
def test_a_rendered_file_says_that_it_is_one(image: Image) -> None:
    assert "do not edit" in image.containerfile.read_text().splitlines()[0]


@every_image
def test_bases_are_scratch_or_the_site_registry_by_digest(image: Image) -> None:
    (base,) = of(image, "FROM")
    assert base == "scratch" or re.fullmatch(r"\$\{REGISTRY\}/[a-z0-9./-]+@\$\{BASE_DIGEST\}", base)


@every_image
def test_builds_fetch_only_from_the_site_mirror(image: Image) -> None:
    assert not of(image, "ADD")
    assert not [
        run for run in of(image, "RUN") if re.search(r"\b(curl|wget|git|pip3?) |https?://", run.replace('uv" pip', ""))
    ]


@every_image
def test_installing_packages_leaves_no_lists(image: Image) -> None:
    installs = [run for run in of(image, "RUN") if "apt-get install" in run]
    assert all("--no-install-recommends" in run and "rm -rf /var/lib/apt/lists/*" in run for run in installs)


@every_image
def test_images_say_what_they_are(image: Image) -> None:
    labels = " ".join(of(image, "LABEL"))
    assert f'org.opencontainers.image.title="{image.name}"' in labels or image in LAB_IMAGES
    assert "org.opencontainers.image.description=" in labels


@pytest.mark.parametrize("image", RUN, ids=named)
def test_own_images_run_as_a_numbered_user(image: Image) -> None:
    assert of(image, "USER")[-1] == "10001:10001"


def test_the_lab_makes_the_images_of_other_projects_under_the_names_that_these_give() -> None:
    """All but Debian's base, which it makes of packages, and CUDA's, which it cannot use."""
    catalogues = [*CATALOGUES_OF_BUILDS, "lab/gpu/programs/images.yml"]
    made = {f"{i.repository}:{i.tag}" for path in catalogues for i in load(ROOT / path, versions.written())}
    published = set(Upstream(versions.written()).all_images().values())
    assert made <= published
    assert {name.partition(":")[0] for name in published - made} == {
        "docker.io/library/debian",
        "docker.io/nvidia/cuda",
    }


@own_image
def test_own_images_have_content_tags(image: Image) -> None:
    assert image.tag is None


@pytest.mark.parametrize("image", LAB_IMAGES, ids=named)
def test_stand_ins_say_that_they_are(image: Image) -> None:
    assert 'stand-in="true"' in " ".join(of(image, "LABEL"))


@pytest.mark.parametrize("image", [i for i in EVERY if i.lock], ids=named)
def test_python_packages_are_locked_with_hashes(image: Image) -> None:
    assert image.lock is not None
    assert "--hash=sha256:" in (ROOT / image.lock).read_text()
    assert any("--require-hashes" in run and "--no-index" in run for run in of(image, "RUN"))
