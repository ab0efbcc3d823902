"""A site's registry is named host[:port] or host[:port]/path; what no image's name can begin with is refused."""

from __future__ import annotations

import pytest
from qwen_runtime.errors import UsageError
from qwen_runtime.site_registry import SiteRegistry, parse

from tests.support.site_registries import REFUSED, TAKEN


@pytest.mark.parametrize("name", TAKEN)
def test_host_and_path_are_told_apart_and_make_the_name_again(name: str) -> None:
    registry = parse(name, "site_registry")
    assert (registry.host, registry.path) == (name.partition("/")[0], name.partition("/")[2])
    assert str(registry) == name


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_no_image_can_begin_with_is_refused_with_its_setting(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(name, "site_registry")
    assert refused.value.found == f"site_registry: {name!r}"
    assert "host[:port]/path" in refused.value.needed
    assert "harbor.example.internal/qwen" in refused.value.remedy


def test_an_image_has_one_name_at_every_site() -> None:
    below, top = parse("harbor.example.internal:8443/qwen", ""), parse("registry.example.internal", "")
    assert below.repository("flannel/flannel") == "qwen/flannel/flannel"
    assert top.repository("flannel/flannel") == "flannel/flannel"
    names = {registry.name_of(f"{registry}/flannel/flannel:v1") for registry in (below, top)}
    assert names == {"flannel/flannel:v1"}


def test_a_neighbour_whose_name_begins_alike_is_another_place() -> None:
    assert SiteRegistry("harbor.example.internal", "qwen").name_of("harbor.example.internal/qwen-onprem/a:1") == (
        "qwen-onprem/a:1"
    )
