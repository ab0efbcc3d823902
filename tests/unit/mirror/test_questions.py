"""The questions that `qwen-mirror check` answers, each with the options that docs/operate/mirror.md names for it.

What is taken away is drawn anew each time; REMOVAL_SEED repeats a draw that a failed run has printed.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mirror.item import KINDS, Item
from mirror.needs.items import needed
from mirror.site import Site
from mirror.upstream import Upstream
from tests.fakes.model_files import SHARDS
from tests.fakes.site_mirror import SiteMirror
from tests.support.asked_site import EXAMPLE, MODEL, Settings, fill, write_stack

ROOT = Path(__file__).parents[3]
SEED = int(os.environ.get("REMOVAL_SEED") or random.randrange(1 << 32))


@dataclass(frozen=True, slots=True)
class Change:
    """A site after a change, or before it: the options of its question, and what that site needs."""

    options: tuple[str | Path, ...]
    needs: list[Item]


def drawn(items: list[Item]) -> Item:
    """One of the items, which a failed test shows."""
    item = random.Random(SEED).choice(items)
    print(f"REMOVAL_SEED={SEED} takes away {item.label}")
    return item


@contextmanager
def taken_away(mirror: SiteMirror, listed: list[Item], gone: Item) -> Iterator[list[str]]:
    """The mirror without an item, in each place that needs the same file; yields what messages call it."""
    if gone.kind == "wheel":
        same = [
            item for item in listed if item.kind == "wheel" and (item.name, item.version) == (gone.name, gone.version)
        ]
    else:
        same = [gone]
    fill(mirror, [item for item in listed if item not in same])
    labels = [item.label for item in same]
    if gone.kind in ("key", "model"):
        file = Path(gone.at) if gone.kind == "key" else mirror.folder / "models" / MODEL / SHARDS[0]
        away = file.rename(mirror.folder / "away")
        yield labels if gone.kind == "key" else [f"{gone.label} {file.name}"]
        away.rename(file)
    else:
        own = f"{gone.name.partition(':')[0]}@{gone.digest}"
        manifest = mirror.registry.manifests.pop(own, None)
        yield labels
        mirror.registry.manifests |= {own: manifest} if manifest else {}


def assert_named(out: str, *labels: str) -> None:
    """Exactly these are named, with what was found, is needed and remedies it."""
    for label in labels:
        told = rf"^{re.escape(label)}\n  found:  \S.*\n  needed: \S.*\n  remedy: \S.*"
        assert re.search(told, out, re.MULTILINE), out
    assert f"missing: {len(labels)};" in out, out


@pytest.fixture(scope="module")
def changes(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Change]:
    folder = tmp_path_factory.mktemp("changes")
    found = {}
    for name, version in {"a newer Kubernetes": "1.34.5", "the Kubernetes before": "1.34.3"}.items():
        file = folder / f"versions-{version}.yml"
        file.write_text((ROOT / "versions.yml").read_text().replace("1.34.4", version))
        site = Site(EXAMPLE, stack=settings.stack, extra_vars=[settings.values], versions=file)
        found[name] = Change(("--versions", file), needed(site, upstream=Upstream(file)))
    row = folder / "row.yml"
    row.write_text("site_nvidia_stack: cuda-12.8\n")
    site = Site(EXAMPLE, stack=settings.stack, extra_vars=[settings.values, row])
    found["another row of NVIDIA's software"] = Change(("--extra-vars", row), needed(site))
    return found


@pytest.fixture(scope="module")
def other_stack(mirror: SiteMirror, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A stack file whose runtime is another one, and the name of that image in the registry."""
    images = yaml.safe_load(settings.stack.read_text())["config"]["qwen-onprem:images"]
    repository = "qwen-onprem/runtime"
    digest = mirror.registry.add_image(f"{repository}:other")
    file = tmp_path_factory.mktemp("stack") / "Pulumi.other.yaml"
    write_stack(file, images | {"runtime": f"{images['runtime'].partition('@')[0]}@{digest}"})
    return file, f"{repository}@{digest}"


def test_a_mirror_with_everything_lacks_nothing(
    mirror: SiteMirror, settings: Settings, listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    code, out = settings.check(), capsys.readouterr().out
    assert (code, f"missing: 0; asked for: {len(listed)}" in out) == (0, True), out


@pytest.mark.parametrize("kind", KINDS)
def test_before_site_yml_whatever_was_taken_away_is_named(
    mirror: SiteMirror, settings: Settings, listed: list[Item], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One item of each kind, drawn: an installation would have stopped at it."""
    gone = drawn([item for item in listed if item.kind == kind and item.at])
    with taken_away(mirror, listed, gone) as labels:
        code = settings.check("--kind", kind)
    assert code == 1
    assert_named(capsys.readouterr().out, *labels)


def test_a_package_that_is_listed_and_whose_file_is_gone_or_cut_off_is_named(
    mirror: SiteMirror, settings: Settings, listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists promise what a half-copied disk did not bring."""
    fill(mirror, listed)
    file = mirror.package(drawn([item for item in listed if item.kind == "apt"]))
    content = file.read_bytes()
    for spoil in (file.unlink, lambda: file.write_bytes(content[:-1])):
        spoil()
        assert settings.check("--kind", "apt") == 1
        assert_named(capsys.readouterr().out, f"apt {file.parent.name} file {file.name}")
    file.write_bytes(content)


def test_a_package_that_one_release_lacks_and_another_has_is_named_for_the_one(
    mirror: SiteMirror, settings: Settings, listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two suites have packages of one name."""
    gone = drawn([item for item in listed if item.group == "noble" and item.name == "kubelet"])
    assert [item for item in listed if item.group == "jammy" and item.label.endswith(gone.label.split()[-1])]
    fill(mirror, [item for item in listed if item != gone])
    assert settings.check("--kind", "apt") == 1
    assert_named(capsys.readouterr().out, gone.label)


def test_before_a_reboot_an_image_that_a_node_would_pull_again_is_named(
    mirror: SiteMirror, settings: Settings, listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    """The kubelet asks for what was removed from a full disk, and for all after an installation anew."""
    gone = drawn([item for item in listed if item.kind == "image" and item.used_by in ("hosts", "kubeadm")])
    with taken_away(mirror, listed, gone) as labels:
        code = settings.check("--kind", "image")
    assert code == 1
    assert_named(capsys.readouterr().out, *labels)


@pytest.mark.parametrize("used_by", ["the stack", "controller"])
def test_before_pulumi_up_an_image_of_the_stack_or_a_program_that_pulumi_starts_is_named(
    mirror: SiteMirror, settings: Settings, listed: list[Item], used_by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = drawn([item for item in listed if item.kind in ("image", "tool") and item.used_by == used_by])
    with taken_away(mirror, listed, gone) as labels:
        code = settings.check("--kind", gone.kind, "--for", used_by)
    assert code == 1
    assert_named(capsys.readouterr().out, *labels)


@pytest.mark.parametrize("change", ["a newer Kubernetes", "the Kubernetes before", "another row of NVIDIA's software"])
def test_before_an_upgrade_and_the_way_back_one_thing_of_the_other_versions_is_named(
    mirror: SiteMirror,
    settings: Settings,
    listed: list[Item],
    changes: dict[str, Change],
    change: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All is there that the site needs as it is, and all but one thing that it needs after the change."""
    asked = changes[change]
    new = [item for item in asked.needs if item not in listed]
    gone = drawn([item for item in new if item.kind in ("apt", "image")])
    fill(mirror, [*listed, *(item for item in new if item != gone)])
    assert settings.check(*asked.options) == 1
    assert_named(capsys.readouterr().out, gone.label)
    fill(mirror, [*listed, *new])
    assert settings.check(*asked.options) == 0
    assert "missing: 0;" in capsys.readouterr().out


def test_before_a_change_of_the_stack_and_the_way_back_its_images_are_asked_for(
    mirror: SiteMirror,
    settings: Settings,
    listed: list[Item],
    other_stack: tuple[Path, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, image = other_stack
    fill(mirror, listed)
    manifest = mirror.registry.manifests.pop(image)
    assert settings.check("--stack", file) == 1
    out = capsys.readouterr().out
    assert_named(out, f"image {image.partition('@')[0]}")
    assert image in out, "by its digest"
    mirror.registry.manifests[image] = manifest
    assert settings.check("--stack", file) == 0
    assert "missing: 0;" in capsys.readouterr().out
