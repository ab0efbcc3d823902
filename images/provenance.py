"""Statements of how an image was built, in the form of SLSA's provenance v1 inside an in-toto statement v1.

One file for each build: the image by its digest, the tree, the files and the base that it was made from, and when. The
site signs the list that names the file's digest (`qwen-mirror vouch --provenance`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from .catalog import ROOT, Image

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:qwen-onprem:images.build:v1"
"""A build by this package: externalParameters name an image, resolvedDependencies what its build reads."""
BUILDER = "urn:qwen-onprem:images.build"


@dataclass(frozen=True, slots=True)
class Build:
    """One build that ended in the registry.

    name:    repository with the registry's name
    digest:  of the image's manifest
    inputs:  the digest that the image carries as a label
    base:    repository and digest
    files:   SHA-256 in hexadecimal digits of each file that the build read, by its name
    """

    image: Image
    name: str
    digest: str
    inputs: str
    base: tuple[str, str] | None
    files: Mapping[str, str]
    begun: datetime


def file_of(repository: str, digest: str) -> str:
    """Name of the file with the statement of an image, such as qwen-onprem_runtime@sha256-12ab.json."""
    return f"{repository.replace('/', '_')}@{digest.replace(':', '-')}.json"


def write(folder: Path, build: Build) -> Path:
    """Write the statement of a build, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / file_of(build.image.repository, build.digest)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps(_statement(build, tree(), datetime.now(timezone.utc)), indent=1) + "\n")
    partial.replace(file)
    return file


def tree(folder: Path = ROOT) -> dict[str, Any] | None:
    """The commit that the tree is of, and whether files of it were changed since; None outside of git."""
    git = ("git", "-C", str(folder))
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"name": "tree", "digest": {"gitCommit": commit}, "annotations": {"changed": bool(changed)}}


def _statement(build: Build, source: dict[str, Any] | None, ended: datetime) -> dict[str, Any]:
    parameters = {"image": build.image.name} | ({"variant": build.image.variant} if build.image.variant else {})
    read = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(build.files.items())]
    if build.base:
        read.insert(0, {"name": build.base[0], "digest": _digest(build.base[1])})
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": parameters,
        "internalParameters": {"inputs": build.inputs},
        "resolvedDependencies": ([source] if source else []) + read,
    }
    metadata = {"invocationId": f"urn:uuid:{uuid4()}", "startedOn": _time(build.begun), "finishedOn": _time(ended)}
    return {
        "_type": STATEMENT,
        "subject": [{"name": build.name, "digest": _digest(build.digest)}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": definition,
            "runDetails": {"builder": {"id": BUILDER}, "metadata": metadata},
        },
    }


def _digest(text: str) -> dict[str, str]:
    """A digest such as sha256:12ab as a set of digests."""
    algorithm, _, digits = text.partition(":")
    return {algorithm: digits}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
