"""One thing that a site's mirror holds."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("apt", "key", "image", "wheel", "tool", "model")


@dataclass(frozen=True, slots=True)
class Item:
    """One package, key, image, wheel, archive or model."""

    kind: str
    group: str
    """Suite of a package, lock of a wheel; empty for other kinds."""
    name: str
    """Name at the site: of a package, of an image with its tag and below `site_registry`, of a file, of a model."""
    at: str
    """Address at the site: an image's reference, the URL of a file, the apt repository with its suite."""
    source: str
    """The address outside that it comes from; empty where the site makes it itself."""
    version: str = ""
    """Pinned version; empty where any will do."""
    size_bytes: int | None = None
    digest: str = ""
    """`sha256:` and the digest of an image's manifest or of a model's manifest.json; a key's fingerprint."""
    digests: tuple[str, ...] = ()
    """All SHA-256 that a lock accepts for a wheel: one for each file of that version."""
    used_by: str = ""
    """Those who need it: groups of hosts, images, the controller."""

    @property
    def is_copied(self) -> bool:
        """Whether it is an image of another project, by a reference that can be copied."""
        return self.kind == "image" and ":" in self.source and " " not in self.source

    @property
    def repository(self) -> str:
        """Reference of an image without its tag; the registry's host may have a port."""
        folder, _, last = self.at.rpartition("/")
        return f"{folder}/{last.partition(':')[0]}"

    @property
    def label(self) -> str:
        """Kind and name, as messages call it."""
        version = f"={self.version}" if self.kind == "apt" and self.version else ""
        return f"{self.kind} {self.group + ' ' if self.group else ''}{self.name}{version}"
