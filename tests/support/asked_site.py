"""The example's site with a mirror on this machine, and `qwen-mirror check` as its operator runs it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from qwen_runtime.weights import write_manifest

from mirror.command import main
from mirror.item import Item
from tests.fakes import site_mirror
from tests.fakes.model_files import write_model
from tests.fakes.site_mirror import SiteMirror

EXAMPLE = Path(__file__).parents[2] / "inventory/example"
MODEL = "qwen3-coder-480b-a35b-instruct-fp8"
OWN = ("runtime", "prometheus", "alertmanager")


@dataclass(frozen=True, slots=True)
class Settings:
    """Files that make the example's site one whose mirror is on this machine."""

    stack: Path
    values: Path
    """Variables over the inventory's."""

    def check(self, *arguments: str | Path) -> int:
        """Exit code of `qwen-mirror check`; a further --stack takes the place of the site's."""
        options = ["--stack", self.stack, "--extra-vars", self.values, *arguments]
        return main(["check", str(EXAMPLE), *map(str, options)])


def describe(mirror: SiteMirror, folder: Path) -> Settings:
    """Write the files of a site with this mirror, to which the stack's images and the model are given."""
    address = f"127.0.0.1:{mirror.port}"
    names = {name: f"qwen-onprem/{name}" for name in OWN} | {"gateway": "envoyproxy/envoy"}
    images = {name: f"{address}/{path}@{mirror.registry.add_image(path)}" for name, path in names.items()}
    settings = Settings(folder / "Pulumi.yaml", folder / "values.yml")
    write_stack(settings.stack, images)
    model = mirror.folder / "models" / MODEL
    write_model(model)
    write_manifest(model, MODEL, "0")
    values: dict[str, Any] = {
        "site_registry": address,
        "site_mirror_url": f"https://{address}",
        "site_ca_file": str(mirror.authority),
        "base_apt_key_file": str(mirror.key),
        "site_gpu_images": [images["runtime"]],
        "site_model_manifests": {MODEL: hashlib.sha256((model / "manifest.json").read_bytes()).hexdigest()},
        "vault_registry_password": site_mirror.PASSWORD,
    }
    settings.values.write_text(yaml.safe_dump(values))
    return settings


def write_stack(file: Path, images: dict[str, str]) -> None:
    file.write_text(yaml.safe_dump({"config": {"qwen-onprem:images": images}}))


def fill(mirror: SiteMirror, items: Iterable[Item]) -> None:
    """Give the mirror exactly these items; the images that a stack names by digest stay."""
    items = list(items)
    mirror.write_apt(item for item in items if item.kind == "apt")
    for name in [name for name in mirror.registry.manifests if "qwen-onprem" not in name]:
        del mirror.registry.manifests[name]
    for item in items:
        if item.kind == "image" and "qwen-onprem" not in item.name:
            mirror.registry.add_image(item.name.partition(":")[0] if item.digest else item.name)
    wheels = (f"{re.sub('[-.]', '_', i.name)}-{i.version}-py3-none-any.whl" for i in items if i.kind == "wheel")
    for folder, names in {"wheels": wheels, "tools": (i.name for i in items if i.kind == "tool")}.items():
        (mirror.folder / folder).mkdir(exist_ok=True)
        for file in (mirror.folder / folder).iterdir():
            file.unlink()
        for name in names:
            (mirror.folder / folder / name).write_text("content")
