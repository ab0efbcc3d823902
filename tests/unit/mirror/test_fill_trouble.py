"""Upstreams that no longer have a thing, and a disk without room: each is named, and a further `fill` goes on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from qwen_runtime.errors import Error

from mirror.carry import bundle
from mirror.tools.programs import ToolError
from tests.fakes.upstreams import World


@pytest.mark.parametrize(
    ("number", "changes", "about"),
    [
        (1, {"source": "{registry}/library/gone:1.0"}, "image {registry}/library/gone:1.0"),
        (2, {"version": "2.0"}, "wheels of locks/controller.txt, Python 3.12"),
        (4, {"source": "file://{folder}/gone.tar.gz"}, "file://{folder}/gone.tar.gz"),
    ],
)
def test_whatever_else_vanished_upstream_is_named_and_a_rerun_goes_on(
    upstreams: World, tmp_path: Path, number: int, changes: dict[str, str], about: str
) -> None:
    facts = {"registry": upstreams.registry, "folder": str(upstreams.folder)}
    gone = replace(upstreams.items[number], **{name: value.format(**facts) for name, value in changes.items()})
    out = tmp_path / "out"
    with pytest.raises(ToolError, match=re.escape(about.format(**facts)) + ": .+\nneeded: .+\nremedy: .+"):
        upstreams.fill(out, [gone])
    assert not (out / bundle.NAME).exists(), "the folder does not count as whole"
    upstreams.fill(out, [upstreams.items[number]])
    assert bundle.read(out).files


@pytest.mark.parametrize("kind", ["apt", "image", "wheel"])
def test_a_disk_that_fills_up_is_named_and_with_room_a_rerun_goes_on(
    upstreams: World, small_disk: Path, kind: str
) -> None:
    [item, *_] = [item for item in upstreams.items if item.kind == kind]
    out, other = small_disk / "out", small_disk / "other"
    (out / "images").mkdir(parents=True)
    other.write_bytes(bytes(512 << 10))
    with pytest.raises((Error, OSError), match=r"(?i)no space|enough free space"):
        upstreams.fill(out, [item])
    assert not (out / bundle.NAME).exists(), "the folder does not count as whole"
    other.unlink()
    upstreams.fill(out, [item])
    assert bundle.read(out).files
