"""Each build leaves a statement of what it was made from, in the form that in-toto and SLSA publish."""

from __future__ import annotations

import hashlib
import json
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from qwen_runtime.site_registry import SiteRegistry

from images import provenance
from images.builder import Builder
from images.catalog import ROOT, Image
from images.registry import Registry

SITE = SiteRegistry("mirror:5000")
DIGEST = "sha256:" + "1" * 64
BASE = ("debian", "sha256:" + "2" * 64)
TEXT = {"type": "string", "minLength": 1}
URI = {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
DIGESTS = {
    "type": "object",
    "properties": {"sha256": {"pattern": "^[0-9a-f]{64}$"}, "gitCommit": {"pattern": "^[0-9a-f]{40}$"}},
    "additionalProperties": False,
    "minProperties": 1,
}


def record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Schema of an object with these fields and no others."""
    fields = required | optional
    return {"type": "object", "properties": fields, "required": [*required], "additionalProperties": False}


RESOURCE = {
    **record({}, name=TEXT, uri=URI, digest=DIGESTS, annotations={"type": "object"}),
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}],
}
# The fields of in-toto's Statement v1 and SLSA's provenance v1, and which of them must be there.
SCHEMA = record(
    {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": record({"digest": DIGESTS}, name=TEXT)},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": record(
            {
                "buildDefinition": record(
                    {"buildType": URI, "externalParameters": {"type": "object"}},
                    internalParameters={"type": "object"},
                    resolvedDependencies={"type": "array", "items": RESOURCE},
                ),
                "runDetails": record(
                    {"builder": record({"id": URI}, version={"type": "object"})},
                    metadata=record({}, invocationId=TEXT, startedOn=TIME, finishedOn=TIME),
                ),
            }
        ),
    }
)


class Storage:
    """A storage whose builds end at once, with one digest."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def buildah(self, *arguments: str) -> None:
        if arguments[0] == "push":
            Path(arguments[arguments.index("--digestfile") + 1]).write_text(DIGEST)


class Empty(Registry):
    """A registry with a base and no image."""

    def digest(self, repository: str, reference: str) -> str | None:
        return BASE[1] if repository == BASE[0] else None

    def labels(self, repository: str, reference: str) -> dict[str, str]:
        return {}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_bytes(b"program")
    builder = Builder(SITE, Empty(SITE, False), tmp_path / "bin", None, None)
    builder.storage = Storage(tmp_path)  # type: ignore[assignment]
    builder.statements = tmp_path / "statements"
    return builder


@pytest.fixture
def image() -> Image:
    containerfile = ROOT / "images/prometheus/Containerfile"
    return Image("tool", "own/tool", containerfile, base="debian:bookworm-slim", binaries=("tool",), variant="cpu")


def statement(builder: Builder, image: Image) -> dict[str, Any]:
    with ExitStack() as storage:
        assert builder.ensure(image, storage, Path("unused"))
    assert builder.statements is not None
    read: dict[str, Any] = json.loads((builder.statements / f"own_tool@{DIGEST.replace(':', '-')}.json").read_text())
    return read


def test_a_statement_has_the_fields_of_in_toto_and_slsa(builder: Builder, image: Image) -> None:
    jsonschema.validate(statement(builder, image), SCHEMA)
    jsonschema.validate(statement(builder, replace(image, base=None, variant=None)), SCHEMA)


def test_it_names_the_image_the_tree_the_base_and_every_file_by_digest(
    builder: Builder, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # a catalogue may be named by a relative path
    written = statement(builder, replace(image, containerfile=image.containerfile.relative_to(ROOT)))
    assert written["subject"] == [{"name": "mirror:5000/own/tool", "digest": {"sha256": "1" * 64}}]
    definition = written["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"image": "tool", "variant": "cpu"}
    read = {entry["name"]: entry["digest"] for entry in definition["resolvedDependencies"]}
    assert read["debian"] == {"sha256": "2" * 64}
    assert read["tool"] == {"sha256": hashlib.sha256(b"program").hexdigest()}
    containerfile = hashlib.sha256(image.containerfile.read_bytes()).hexdigest()
    assert read["images/prometheus/Containerfile"] == {"sha256": containerfile}


def test_a_tree_is_named_by_its_commit_and_whether_files_were_changed(tmp_path: Path) -> None:
    assert provenance.tree(tmp_path) is None
    git = ("git", "-C", str(tmp_path), "-c", "user.name=nobody", "-c", "user.email=n@example.internal")
    for arguments in (("init", "--quiet"), ("commit", "--quiet", "--allow-empty", "--message", "first")):
        subprocess.run([*git, *arguments], check=True)
    clean = provenance.tree(tmp_path)
    assert clean is not None
    assert len(clean["digest"]["gitCommit"]) == 40
    (tmp_path / "new").write_text("")
    changed = provenance.tree(tmp_path)
    assert changed is not None
    assert (clean["annotations"], changed["annotations"]) == ({"changed": False}, {"changed": True})


def test_nothing_is_written_unless_it_is_asked_for(builder: Builder, image: Image, tmp_path: Path) -> None:
    builder.statements = None
    with ExitStack() as storage:
        builder.ensure(image, storage, Path("unused"))
    assert not list(tmp_path.glob("**/*.json"))
