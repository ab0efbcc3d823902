"""A clock that is years off, a key that expired, a full disk and a missing program are named, and a rerun goes on."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qwen_runtime.errors import Fault

from mirror.bring.folder import bring
from mirror.bring.packages import publish
from mirror.carry import bundle
from mirror.check import packages
from mirror.command import main
from mirror.fill import files
from mirror.fill.folder import fill
from mirror.item import Item
from mirror.tools import disk
from mirror.tools.programs import ToolError
from mirror.upstream import Upstream
from tests.fakes import site_mirror
from tests.fakes.site_mirror import SiteMirror
from tests.support.debian import make_package

SITE = "registry.example.internal"
GPG = ("gpg", "--batch", "--quiet", "--yes", "--passphrase", "")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[SiteMirror]:
    """A folder with the signed lists of one package."""
    served = SiteMirror(tmp_path)
    site_mirror._make_key(tmp_path)
    served.write_apt([kubelet(served)])
    yield served
    subprocess.run(["gpgconf", "--homedir", tmp_path / "gnupg", "--kill", "gpg-agent"], check=False)


def kubelet(mirror: SiteMirror) -> Item:
    return Item("apt", "jammy", "kubelet", f"file:{mirror.folder}/apt jammy", "", version="1.0-1")


def gpg(mirror: SiteMirror, *arguments: str | Path) -> None:
    subprocess.run([*GPG, "--homedir", mirror.folder / "gnupg", *arguments], check=True, capture_output=True)


def sign(mirror: SiteMirror, change: Callable[[str], str], *options: str) -> None:
    """Sign the lists again after a change."""
    release = mirror.folder / "apt/dists/jammy/Release"
    release.write_text(change(release.read_text()))
    gpg(mirror, *options, "--clearsign", "--output", release.with_name("InRelease"), release)


def faults(mirror: SiteMirror) -> list[Fault]:
    return list(packages.missing([kubelet(mirror)], mirror.key, None, {}))


def test_a_clock_that_is_years_behind_the_lists_is_named(mirror: SiteMirror) -> None:
    assert not faults(mirror)
    sign(mirror, lambda text: re.sub(r"(?m)^Date: .*$", "Date: Fri, 01 Jan 2100 00:00:00 UTC", text))
    [fault] = faults(mirror)
    assert "is not valid yet" in fault.found


def test_a_clock_that_is_years_ahead_of_the_lists_is_named(mirror: SiteMirror) -> None:
    sign(mirror, lambda text: f"Valid-Until: Wed, 01 Jan 2020 00:00:00 UTC\n{text}")
    [fault] = faults(mirror)
    assert "is expired" in fault.found


def test_lists_by_a_key_that_has_expired_are_named(mirror: SiteMirror) -> None:
    made, used = (("--faked-system-time", f"20200101T{time}") for time in ("000000", "120000"))
    gpg(mirror, *made, "--quick-generate-key", "expired", "ed25519", "sign", "1d")
    gpg(mirror, "--armor", "--export", "--output", mirror.key, "expired")
    sign(mirror, lambda text: text, *used, "--local-user", "expired")
    [fault] = faults(mirror)
    assert "EXPKEYSIG" in fault.found


def test_a_signature_over_a_folder_holds_at_any_time(tmp_path: Path) -> None:
    """It has no date: a site whose clock is wrong can verify what was carried to it."""
    (tmp_path / "out/tools").mkdir(parents=True)
    (tmp_path / "out/tools/file").write_text("content")
    key = tmp_path / "site.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", tmp_path / "site.pub"], check=True)
    bundle.write(tmp_path / "out", SITE)
    assert main(["sign", str(tmp_path / "out"), "--key", str(key)]) == 0
    for file in (tmp_path / "out").rglob("*"):
        os.utime(file, (0, 0))
    assert main(["verify", str(tmp_path / "out"), "--key", str(tmp_path / "site.pub")]) == 0


def test_packages_of_one_name_in_two_suites_stay_apart(mirror: SiteMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(mirror.folder / "gnupg"))
    out, root = mirror.folder / "out", mirror.folder / "srv"
    for suite, needed in {"jammy": "conntrack", "noble": "socat"}.items():
        (out / "apt" / suite).mkdir(parents=True)
        make_package(out / "apt" / suite, "kubelet", depends=needed)
    bundle.write(out, SITE)
    bring(out, SITE, [], root, "site", None)
    lists = {suite: root / f"apt/dists/{suite}/main/binary-amd64/Packages" for suite in ("jammy", "noble")}
    found = {suite: re.findall(r"^Depends: (\w+)$", file.read_text(), re.MULTILINE) for suite, file in lists.items()}
    assert found == {"jammy": ["conntrack"], "noble": ["socat"]}


def test_a_page_in_place_of_a_release_file_is_refused_and_not_kept(tmp_path: Path) -> None:
    page = tmp_path / "keda.yaml"
    page.write_text("<!DOCTYPE html>")
    with pytest.raises(ToolError, match="the file, and no page"):
        files.archives([Item("tool", "", page.name, "", f"file://{page}")], tmp_path)
    assert not list(tmp_path.glob("tools/*"))


def test_a_disk_that_fills_up_is_named_and_a_rerun_with_room_goes_on(small_disk: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine.tar.gz"
    engine.write_bytes(gzip.compress(os.urandom(2 << 20)))
    items = [Item("tool", "", engine.name, "", f"file://{engine}")]
    out = small_disk / "out"
    with pytest.raises(ToolError, match=r"engine\.tar\.gz: .*([Ww]rit|space)"):
        fill(items, SITE, out, Upstream(), {})
    assert not (out / bundle.NAME).exists(), "the folder does not count as whole"
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    fill(items, SITE, out, Upstream(), {})
    assert (out / "tools" / engine.name).read_bytes() == engine.read_bytes()


def test_a_list_that_no_longer_fits_on_the_disk_is_named(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something else writes to it meanwhile, so that there was room when the packing began."""
    monkeypatch.setattr(disk, "refuse_full", lambda root, needed: root.mkdir(exist_ok=True))
    whole, before = tmp_path / "whole", tmp_path / "before.json"
    (whole / "tools").mkdir(parents=True)
    (whole / "tools/archive").write_bytes(os.urandom(1 << 20))
    bundle.write(whole, SITE)
    before.write_text(f'{{"format": 1, "site": "{SITE}", "files": []}}')
    assert main(["pack", str(whole), "--since", str(before), "--to", str(small_disk / "new")]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (small_disk / "new" / bundle.NAME).exists()


def test_a_program_that_the_machine_lacks_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "pool/jammy").mkdir(parents=True)
    with pytest.raises(ToolError, match=r"no program apt-ftparchive\n.*\n.*Install the package apt-utils"):
        publish(tmp_path, "jammy", "site")
    with pytest.raises(ToolError, match="no program curl"):
        files.archives([Item("tool", "", "engine.tar.gz", "", "https://127.0.0.1:1/engine.tar.gz")], tmp_path)
