"""The site's image registry by its one name, host[:port][/path], with which the names of all its images begin.

The path is a project of a registry that has some, as Harbor does, or a folder. Every image of the site lies below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qwen_runtime.errors import UsageError

# Without a dot or a port, those who pull take the first part of an image's name for a folder of Docker Hub. A path that
# begins like the registry's API is cut by the kubelet where it compares a login's address with an image.
PATTERN = (
    r"(?=[^/]*[.:])[A-Za-z0-9]+([.-]+[A-Za-z0-9]+)*(:[0-9]{1,5})?"
    r"(?!/v[12](/|$))(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*"
)
NEEDED = "host[:port] or host[:port]/path: a host with a dot or a port, then parts of small letters and digits"
REMEDY = "Write it as names of images begin, such as harbor.example.internal/qwen; no https://, no slash at the end."


@dataclass(frozen=True, slots=True)
class SiteRegistry:
    """A registry, and the place in it below which a site's images lie."""

    host: str
    """Host[:port]: what answers requests, has a certificate and asks for a login."""
    path: str = ""
    """Project or folder, without a slash at either end; empty where images lie at the top."""

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.path else self.host

    def repository(self, name: str) -> str:
        """Path of a repository in the registry itself, by its name at the site."""
        return f"{self.path}/{name}" if self.path else name

    def name_of(self, reference: str) -> str:
        """Name at the site of an image: what follows the registry, or the host of an image that lies elsewhere."""
        below = f"{self}/"
        return reference.removeprefix(below) if reference.startswith(below) else reference.partition("/")[2]


def parse(text: str, setting: str) -> SiteRegistry:
    """The registry that a setting names. Raises UsageError."""
    if not re.fullmatch(PATTERN, text):
        raise UsageError(f"{setting}: {text!r}", NEEDED, REMEDY)
    host, _, path = text.partition("/")
    return SiteRegistry(host, path)
