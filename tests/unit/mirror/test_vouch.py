"""`qwen-mirror vouch` signs the digests that a site's registry has, and nothing while one is missing."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from qwen_runtime import signature

from images import provenance
from mirror.command import main
from mirror.item import Item
from mirror.needs.images import BUILT
from mirror.vouch import images as vouched
from tests.fakes.site_mirror import SiteMirror
from tests.support.asked_site import EXAMPLE, Settings, fill


def test_the_digests_that_the_registry_has_are_signed(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path
) -> None:
    fill(mirror, listed)
    assert vouch(settings, tmp_path) == 0
    entries = vouched.read(tmp_path / "images.json")
    assert {entry["name"] for entry in entries} == {item.at for item in listed if item.kind == "image"}
    [pause] = [entry for entry in entries if "/pause:" in entry["name"]]
    assert pause["digest"] == mirror.registry.add_image(pause["name"].partition("/")[2])
    assert signature.fault(tmp_path / "images.json", tmp_path / "site.pub") is None


def test_images_of_an_earlier_list_stay_admitted(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path
) -> None:
    fill(mirror, listed)
    earlier = {"name": "registry/runtime", "digest": "sha256:" + "1" * 64}
    (tmp_path / "old.json").write_text(json.dumps({"format": 1, "site": "registry", "images": [earlier]}))
    assert vouch(settings, tmp_path, "--keep", str(tmp_path / "old.json")) == 0
    assert earlier in vouched.read(tmp_path / "images.json")


def test_nothing_is_signed_while_an_image_is_missing(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, [item for item in listed if "/pause:" not in item.name])
    assert vouch(settings, tmp_path) == 1
    assert "nothing was written: 1 images are not in the registry" in capsys.readouterr().out
    assert not (tmp_path / "images.json").exists()


def test_images_that_were_built_here_are_signed_with_how_they_were_built(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    built = [item for item in listed if item.kind == "image" and item.source == BUILT]
    assert vouch(settings, tmp_path, "--provenance", str(tmp_path)) == 1
    assert f"nothing was written: {len(built)} images have no statement" in capsys.readouterr().out
    assert not (tmp_path / "images.json").exists()
    for item in built:
        statement = {"subject": [{"digest": {"sha256": item.digest.removeprefix("sha256:")}}]}
        (tmp_path / provenance.file_of(item.name.partition(":")[0], item.digest)).write_text(json.dumps(statement))
    assert vouch(settings, tmp_path, "--provenance", str(tmp_path)) == 0
    signed = {
        entry["digest"]: entry["provenance"] for entry in vouched.read(tmp_path / "images.json") if len(entry) == 3
    }
    for item in built:
        file = tmp_path / provenance.file_of(item.name.partition(":")[0], item.digest)
        assert signed.pop(item.digest) == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert not signed, "other projects' images have no statement of ours"


def test_a_statement_of_another_image_is_refused(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path
) -> None:
    fill(mirror, listed)
    for item in listed:
        if item.kind == "image" and item.source == BUILT:
            other = {"subject": [{"digest": {"sha256": "0" * 64}}]}
            (tmp_path / provenance.file_of(item.name.partition(":")[0], item.digest)).write_text(json.dumps(other))
    assert vouch(settings, tmp_path, "--provenance", str(tmp_path)) == 1


def vouch(settings: Settings, folder: Path, *arguments: str) -> int:
    """Write folder/images.json with a key of the folder."""
    key = folder / "site.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", folder / "site.pub"], check=True)
    options = ["--stack", settings.stack, "--extra-vars", settings.values, "--key", key]
    return main(["vouch", str(EXAMPLE), *map(str, options), "--to", str(folder / "images.json"), *arguments])
