"""The site's apt repository as a base gets it: its address, its key, and the authority of its certificate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEY, AUTHORITY = "/etc/apt/keyrings/site.asc", "/etc/apt/site-ca.crt"


@dataclass(frozen=True, slots=True)
class AptSource:
    """An apt repository with one component, main.

    url:       of the folder that has dists/
    key:       file with the public key, armoured
    authority: file with the certificate of its server's authority; None where bases trust it already
    """

    url: str
    key: Path
    authority: Path | None = None

    def write(self, suite: str, folder: Path) -> None:
        """Put the files of /etc/apt for a base of this suite into a folder."""
        for name, content in self._files(suite):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def digest(self, suite: str) -> str:
        """SHA-256 of all that `write` puts there, in hexadecimal digits."""
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in self._files(suite)}
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()

    @property
    def read(self) -> list[Path]:
        """Files that it consists of."""
        return [self.key, *([self.authority] if self.authority else [])]

    def _files(self, suite: str) -> Iterator[tuple[str, bytes]]:
        fields = {"Types": "deb", "URIs": self.url, "Suites": suite, "Components": "main", "Signed-By": KEY}
        yield "sources.list.d/site.sources", "".join(f"{name}: {text}\n" for name, text in fields.items()).encode()
        yield KEY.removeprefix("/etc/apt/"), self.key.read_bytes()
        if self.authority:
            yield AUTHORITY.removeprefix("/etc/apt/"), self.authority.read_bytes()
            yield "apt.conf.d/60-site", f'Acquire::https::CAInfo "{AUTHORITY}";\n'.encode()
