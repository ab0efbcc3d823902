"""Container images that a site's registry holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qwen_runtime.site_registry import SiteRegistry

from images.catalog import Image
from mirror.item import Item
from mirror.site import Site
from mirror.upstream import Upstream

BUILT = "built here: python -m images.build"
STACK = "the stack"


def images(site: Site, own: Iterable[Image], upstream: Upstream) -> Iterator[Item]:
    """Images of other projects and of this one.

    Without a stack file every image is listed that a stack may name. Raises UsageError.
    """
    own = list(own)
    registry = site.registry
    below = site.value("kubernetes_image_repository")
    for name, source in upstream.images("kubeadm").items():
        yield _item(registry, f"{below}/{name.rpartition('/')[2]}", source, "kubeadm")
    sections = ["named", *(["autoscaling"] if scales(site) else [])]
    sources = {name: source for section in sections for name, source in upstream.images(section).items()}
    references = dict.fromkeys(site.image_references(), "hosts")
    references |= dict.fromkeys(site.stack.get("images", {}).values(), STACK)
    if not site.stack:
        references |= {f"{registry}/{name}": STACK for name in sources}
        references |= {f"{registry}/{image.repository}": STACK for image in own if not _is_base(image, own)}
    references |= {f"{registry}/{name}": "autoscaling" for name in sources if name.startswith("kedacore/")}
    for reference, user in sorted(references.items()):
        if not reference.startswith(f"{below}/"):
            yield _referenced(registry, reference, user, sources, own)
    used = {image.base for image in own}
    for name, source in upstream.images("bases").items():
        if name in used:
            yield _item(registry, f"{registry}/{name}", source, "building images")


def scales(site: Site) -> bool:
    """Whether a model of the stack follows the requests, which KEDA does."""
    return any("autoscaling" in model for model in site.stack.get("models", []))


def _is_base(image: Image, own: list[Image]) -> bool:
    return any(image.name == other.base for other in own)


def _referenced(registry: SiteRegistry, reference: str, user: str, sources: dict[str, str], own: list[Image]) -> Item:
    """The image of a reference: of another project by the table's source, of this one, or the site's own."""
    name = reference.removeprefix(f"{registry}/")
    repository, digest = _split(name)
    for known, source in sources.items():
        if known.rpartition(":")[0] == repository:
            tag = known.rpartition(":")[2] if digest else name.rpartition(":")[2]
            source = f"{source.rpartition(':')[0]}:{tag}"
            return _item(registry, f"{registry}/{repository}:{tag}", source, user, digest)
    built = any(image.repository == repository for image in own)
    return _item(registry, reference.partition("@")[0], BUILT if built else "", user, digest)


def _split(name: str) -> tuple[str, str]:
    """Repository, and digest where the name has one."""
    repository, _, digest = name.partition("@")
    folder, _, last = repository.rpartition("/")
    return f"{folder}/{last.partition(':')[0]}".lstrip("/"), digest


def _item(registry: SiteRegistry, reference: str, source: str, user: str, digest: str = "") -> Item:
    return Item("image", "", registry.name_of(reference), reference, source, digest=digest, used_by=user)
