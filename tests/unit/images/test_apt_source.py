"""Bases get the site's apt repository in a build, and images on them are built again when it is another one."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from qwen_runtime.site_registry import SiteRegistry

from images.apt_source import AptSource
from images.builder import Builder
from images.catalog import Image, ImageError, choose, load
from images.registry import Registry

BASES = [image for image in load() if image.suite]


@pytest.fixture
def source(tmp_path: Path) -> AptSource:
    (tmp_path / "key.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    return AptSource("https://mirror.example.internal/apt", tmp_path / "key.asc", tmp_path / "ca.crt")


def builder(source: AptSource | None) -> Builder:
    site = SiteRegistry("mirror:5000")
    return Builder(site, Registry(site, False), None, None, None, apt=source)


@pytest.mark.parametrize("image", BASES, ids=lambda image: image.name)
def test_apt_of_a_base_reads_the_sites_repository_of_its_suite(source: AptSource, image: Image, tmp_path: Path) -> None:
    """Asked of apt itself, with the folder in the place of /etc/apt."""
    assert image.suite is not None
    etc = tmp_path / "etc"
    source.write(image.suite, etc)
    asked = ["apt-get", f"--option=Dir::Etc={etc}", f"--option=Dir::State::Lists={tmp_path}", "update", "--print-uris"]
    uris = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    [first, *others] = re.findall(r"^'(\S+)'", uris, re.MULTILINE)
    assert first == f"{source.url}/dists/{image.suite}/InRelease"
    assert all(uri.startswith(f"{source.url}/dists/{image.suite}/main/") for uri in others)
    assert (etc / "keyrings/site.asc").read_bytes() == source.key.read_bytes()
    answer = ["apt-config", f"--config-file={etc}/apt.conf.d/60-site", "dump", "Acquire::https::CAInfo"]
    assert '"/etc/apt/site-ca.crt"' in subprocess.run(answer, check=True, capture_output=True, text=True).stdout
    assert (etc / "site-ca.crt").read_bytes() == source.authority.read_bytes()  # type: ignore[union-attr]


def test_a_certificate_that_is_trusted_already_needs_no_authority(source: AptSource, tmp_path: Path) -> None:
    replace(source, authority=None).write("bookworm", tmp_path / "etc")
    written = {str(file.relative_to(tmp_path / "etc")) for file in (tmp_path / "etc").rglob("*") if file.is_file()}
    assert written == {"sources.list.d/site.sources", "keyrings/site.asc"}


def test_another_address_key_or_authority_is_a_new_base(source: AptSource) -> None:
    [base] = [image for image in choose(BASES, "cuda") if image.variant]
    first = builder(source).inputs(base, None)
    assert builder(source).inputs(base, None) == first
    others = [replace(source, url="https://other.example.internal/apt"), replace(source, authority=None)]
    assert first not in [builder(other).inputs(base, None) for other in others]
    source.key.write_text("another key")
    assert builder(source).inputs(base, None) != first


def test_a_base_without_an_apt_source_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ImageError, match="no --apt and --apt-key"):
        builder(None).check(BASES)


def test_a_missing_key_is_named_before_anything_is_built(source: AptSource) -> None:
    source.key.unlink()
    with pytest.raises(ImageError, match=r"nothing at .*key\.asc"):
        builder(source).check(BASES)


def test_every_image_with_packages_stands_on_a_base_with_the_sites_repository() -> None:
    """A build with the project's own apt source would ask the internet."""
    for variant in ("cpu", "cuda"):
        by_name = {image.name: image for image in choose(load(), variant)}
        for image in by_name.values():
            if image.packages:
                assert image.base is not None
                assert by_name[image.base].suite, image.name
