"""The site's lists are written anew by a further import where an earlier one ended before them, or dated them wrong."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from qwen_runtime.errors import Error

from mirror.bring.folder import bring
from mirror.carry import bundle
from tests.fakes import site_mirror
from tests.support.debian import make_package

SITE = "registry.example.internal"
GPG = ("gpg", "--batch", "--quiet", "--yes", "--passphrase", "")


@dataclass
class Place:
    """A folder that is carried, the mirror that it is brought into, and gpg's keys: `site` and what a test makes."""

    out: Path
    root: Path

    @property
    def release(self) -> Path:
        return self.root / "apt/dists/jammy/InRelease"

    def add(self, version: str) -> None:
        make_package(self.out / "apt/jammy", "kubelet", version)
        bundle.write(self.out, SITE)

    def bring(self, key: str = "site") -> list[str]:
        return bring(self.out, SITE, [], self.root, key, None)

    def offered(self) -> list[str]:
        text = (self.root / "apt/dists/jammy/main/binary-amd64/Packages").read_text()
        return re.findall(r"^Version: (.+)$", text, re.MULTILINE)

    def signer(self) -> str:
        told = subprocess.run([*GPG, "--verify", self.release], check=True, capture_output=True, text=True).stderr
        [name] = re.findall(r'Good signature from "(\w+)"', told)
        return str(name)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A mirror that has one version of a package."""
    site_mirror._make_key(tmp_path)
    monkeypatch.setenv("GNUPGHOME", str(tmp_path / "gnupg"))
    made = Place(tmp_path / "out", tmp_path / "srv")
    (made.out / "apt/jammy").mkdir(parents=True)
    made.add("1.0-1")
    made.bring()
    yield made
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)


def make_key(name: str, at: str, expires: str = "never") -> None:
    """A key that was made at another time, as `20200101T000000`."""
    command = [*GPG, "--faked-system-time", at, "--quick-generate-key", name, "ed25519", "sign", expires]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("at", "dates"), [("20200101T000000", "[expired: 2020-01-02]"), ("21000101T000000", "pub ed25519 2100-01-01")]
)
def test_a_key_that_is_not_valid_by_this_clock_is_named_and_a_rerun_with_a_valid_one_goes_on(
    place: Place, at: str, dates: str
) -> None:
    """Expired, or made by a clock that is years ahead of this one: both look like a wrong clock here."""
    make_key("other", at, "1d" if at < "2026" else "never")
    place.add("1.1-1")
    before = place.release.read_bytes()
    with pytest.raises(Error) as refused:
        place.bring("other")
    assert dates in refused.value.found
    assert "This machine's clock says 2" in refused.value.remedy
    assert place.release.read_bytes() == before, "the lists stay as they were"
    place.bring()
    assert place.offered() == ["1.0-1", "1.1-1"], "packages that were brought before the failure are listed"


def test_lists_that_a_clock_ahead_has_dated_are_written_anew_once_it_is_right(place: Place) -> None:
    """Hosts refuse lists from the future, and nothing else is new in this import."""
    release = place.release.with_name("Release")
    release.write_text(re.sub(r"(?m)^Date: .*$", "Date: Fri, 01 Jan 2100 00:00:00 UTC", release.read_text()))
    subprocess.run([*GPG, "--clearsign", "--output", place.release, release], check=True, capture_output=True)
    assert place.bring() == []
    assert "2100" not in place.release.read_text()


def test_a_key_that_took_the_place_of_another_signs_the_lists_anew(place: Place) -> None:
    make_key("successor", "20250101T000000")
    assert place.signer() == "site"
    place.bring("successor")
    assert place.signer() == "successor"


def test_lists_are_left_alone_where_all_is_as_it_should_be(place: Place) -> None:
    before = place.release.stat().st_mtime_ns
    assert place.bring() == []
    assert place.release.stat().st_mtime_ns == before


def test_lists_for_which_the_disk_had_no_room_are_written_by_the_next_import(place: Place, small_disk: Path) -> None:
    root = small_disk / "srv"
    full = Place(place.out, root)
    make_package(place.out / "apt/jammy", "ethtool", content=bytes(460 << 10))
    bundle.write(place.out, SITE)
    with pytest.raises((Error, OSError), match=r"[Nn]o space"):
        full.bring()
    assert not full.release.exists()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    full.bring()
    assert full.offered() == ["1.0-1", "1.0-1"]
    assert full.signer() == "site"
