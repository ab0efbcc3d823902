"""Whether the site's registry gives every image to those who log in as the hosts do."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qwen_runtime.errors import Fault

from mirror.item import Item
from mirror.site import Site
from mirror.tools import programs

AT_ONCE = 4
ASK = (
    *("skopeo", "--command-timeout=60s", "--override-os=linux", "--override-arch=amd64"),
    *("inspect", "--no-tags", "--format={{.Digest}}"),
)


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str


def login(site: Site) -> Login:
    """The login with which the site's hosts pull."""
    user = site.value("container_runtime_registry_user", default="")
    return Login(user, site.value("container_runtime_registry_password")) if user else Login("", "")


def missing(items: Sequence[Item], login: Login, authority: Path | None) -> Iterator[Fault]:
    """Faults of images of which the registry lacks the manifest for these hosts, or its configuration."""
    return (answer for answer in answers(items, login, authority) if isinstance(answer, Fault))


def answers(items: Sequence[Item], login: Login, authority: Path | None) -> list[str | Fault]:
    """The digest that the registry has for each image, or what is wrong."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        ask = [*ASK, *trust(Path(folder), login, authority, items)]
        return list(pool.map(lambda item: _answer(item, ask), items))


def trust(
    folder: Path, login: Login, authority: Path | None, items: Sequence[Item], *, side: str = ""
) -> Iterator[str]:
    """Options of skopeo that name the authority and the login; a password on the command line would be seen by all.

    `folder`: for the files that they name. `side`: `src-` for a copy from the registry.
    """
    if authority:
        shutil.copyfile(authority, folder / "ca.crt")
        yield f"--{side}cert-dir={folder}"
    entry = {"auth": base64.b64encode(f"{login.user}:{login.password}".encode()).decode()} if login.user else {}
    file = folder / "login.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"auths": {item.at.partition("/")[0]: entry for item in items if entry}}))
    yield f"--authfile={file}"


def _answer(item: Item, ask: Sequence[str]) -> str | Fault:
    asked = reference(item)
    if not asked:
        found, needed = "no digest of it", "its digest in the stack file, which images/build.py prints"
        return Fault(item.label, found, needed, "Build the images, and write their digests into the stack file.")
    ended = programs.call([*ask, f"docker://{asked}"])
    if ended.returncode == 0:
        return ended.stdout.strip()
    reason = _reason(ended.stderr)
    if "unauthorized" in reason:
        return Fault(item.label, reason, asked, "Let the hosts' login pull there, or correct the name's beginning.")
    return Fault(item.label, reason, asked, f"Copy it there from: {item.source or 'its builder'}.")


def reference(item: Item) -> str:
    """The image by its digest where that is known, otherwise by its tag; empty where it has neither."""
    if item.digest:
        return f"{item.repository}@{item.digest}"
    return item.at if item.at != item.repository else ""


def _reason(text: str) -> str:
    """The last cause that skopeo names."""
    lines = text.strip().splitlines() or ["no answer"]
    return lines[-1].rpartition('msg="')[2].rstrip('"').replace('\\"', "'")
