"""The catalogue of images: one record for each image and variant, from catalog.yml and versions.yml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parent.parent
CATALOG = ROOT / "images/catalog.yml"
VERSIONS = ROOT / "versions.yml"


class ImageError(Exception):
    """Message for the person who runs the command, in the layout of qwen_runtime.errors."""

    def __init__(self, found: str, needed: str, remedy: str) -> None:
        super().__init__(found, needed, remedy)
        self.found, self.needed, self.remedy = found, needed, remedy

    def __str__(self) -> str:
        return f"found:  {self.found}\nneeded: {self.needed}\nremedy: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Image:
    """One Containerfile and its inputs; catalog.yml explains the fields."""

    name: str
    repository: str
    containerfile: Path
    template: Path | None = None
    variant: str | None = None
    tag: str | None = None
    base: str | None = None
    suite: str | None = None
    packages: tuple[str, ...] = ()
    binaries: tuple[str, ...] = ()
    path: str | None = None
    user: str | None = None
    lock: str | None = None
    code: bool = False


def environment() -> jinja2.Environment:
    """Environment for templates; an undefined name in one is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([ROOT / "images", ROOT]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def versions(file: Path = VERSIONS) -> dict[str, Any]:
    rows: dict[str, Any] = yaml.safe_load(file.read_text())["versions"]
    return rows


def load(catalog: Path = CATALOG, versions_file: Path = VERSIONS) -> list[Image]:
    """Every image of a catalogue in building order; each variant is an image."""
    text = environment().from_string(catalog.read_text()).render(versions(versions_file))
    return [
        _image(catalog.parent, name, {**entry, **fields}, variant)
        for name, entry in yaml.safe_load(text).items()
        for variant, fields in entry.pop("variants", {None: {}}).items()
    ]


def choose(images: list[Image], variant: str | None) -> list[Image]:
    """The images of one variant, and those without variants."""
    known = sorted({i.variant for i in images if i.variant})
    if variant is not None and variant not in known:
        raise ImageError(f"--variant {variant}", f"one of {', '.join(known)}", "name one of them")
    return [i for i in images if i.variant in (None, variant)]


def _image(home: Path, name: str, entry: dict[str, Any], variant: str | None) -> Image:
    folder = home / entry.pop("folder", name)
    written = entry.pop("containerfile", None)
    suffix = variant or (name if folder.name != name else None)
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Image(
        name=name,
        variant=variant,
        containerfile=home / written if written else folder / ".".join(filter(None, ("Containerfile", suffix))),
        template=None if written else folder / "Containerfile.j2",
        **fields,
    )
