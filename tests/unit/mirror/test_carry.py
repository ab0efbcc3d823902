"""A folder that is filled, signed and imported is there at the site; a failure leaves nothing half-made.

The registry, apt, skopeo, gpg and pip are real; their upstreams are on this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from qwen_runtime.errors import Error

from mirror.bring.packages import publish
from mirror.carry import bundle
from mirror.check import packages
from mirror.command import main
from mirror.tools.programs import ToolError
from mirror.upstream import Upstream
from tests.fakes.upstreams import SITE, World, make_image, table
from tests.support.debian import make_package


@pytest.fixture(scope="module")
def filled(upstreams: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("carried") / "out"
    upstreams.fill(out)
    return out


def copy_of(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "out"))


def test_what_is_fetched_brings_its_dependencies_and_is_listed(filled: Path) -> None:
    paths = {file.path for file in bundle.read(filled).files}
    assert {"apt/jammy/kubelet_1.0-1_amd64.deb", "apt/jammy/conntrack_1.0-1_amd64.deb"} <= paths
    assert {"wheels/thing-1.0-py3-none-any.whl", "tools/engine.tar.gz", "images/kubernetes/pause/index.json"} <= paths


def test_every_file_system_takes_the_names_of_what_is_carried(filled: Path) -> None:
    """exFAT, which disks come with, takes large files and none of these characters; versions with an epoch have one."""
    paths = {file.path for file in bundle.read(filled).files}
    assert "apt/jammy/ethtool_6.1-1_amd64.deb" in paths
    assert not [path for path in paths if re.search(r'[:*?"<>|\\]', path)]


def test_what_was_imported_is_had_from_the_mirror(upstreams: World, filled: Path, tmp_path: Path) -> None:
    new = upstreams.bring(filled, tmp_path / "srv")
    assert f"{upstreams.registry}/kubernetes/pause:1.0" in new
    kubelet = replace(upstreams.items[0], at=f"file:{tmp_path}/srv/apt jammy")
    (tmp_path / "status").write_text("")
    key = upstreams.folder / "apt-key.asc"
    assert not list(packages.missing([kubelet], key, None, {"jammy": tmp_path / "status"}))
    asked = ["skopeo", "inspect", "--format={{.Digest}}"]
    digests = {
        subprocess.run(
            [*asked, f"docker://{upstreams.registry}/{name}"], check=True, capture_output=True, env=os.environ
        ).stdout
        for name in ("kubernetes/pause:1.0", "library/pause:1.0")
    }
    assert len(digests) == 1, "the image keeps its digest on the way"


def test_of_an_image_for_many_machines_the_hosts_one_is_carried(upstreams: World, filled: Path, tmp_path: Path) -> None:
    upstreams.bring(filled, tmp_path / "srv")
    asked = ["skopeo", "inspect", "--raw", f"docker://{upstreams.registry}/own/tool:1.0"]
    manifest = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    assert "manifests" not in manifest, "one image, and no list of several"
    config = filled / "images/blobs/sha256" / manifest["config"]["digest"].partition(":")[2]
    assert json.loads(config.read_text())["architecture"] == "amd64"


def test_an_image_for_other_machines_alone_is_refused_before_anything_is_fetched(
    upstreams: World, tmp_path: Path
) -> None:
    make_image(tmp_path / "arm", "arm64", "s390x")
    source = f"{upstreams.registry}/library/arm:1.0"
    copy = ["skopeo", "copy", "--all", f"oci:{tmp_path}/arm", f"docker://{source}"]
    subprocess.run(copy, check=True, capture_output=True)
    other = replace(upstreams.items[3], source=source)
    with pytest.raises(ToolError, match=r"arm:1.0 for arm64/linux, s390x/linux\nneeded: one for linux/amd64"):
        upstreams.fill(tmp_path / "out", [upstreams.items[1], other])
    assert not list((tmp_path / "out/images").rglob("index.json"))


def test_a_second_import_changes_no_file(upstreams: World, filled: Path, tmp_path: Path) -> None:
    root = tmp_path / "srv"
    upstreams.bring(filled, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert [name for name in upstreams.bring(filled, root) if ":1.0" not in name] == []
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before


def test_older_versions_stay_for_the_way_back(upstreams: World, filled: Path, tmp_path: Path) -> None:
    root = tmp_path / "srv"
    (root / "apt/pool/jammy").mkdir(parents=True)
    make_package(root / "apt/pool/jammy", "kubelet", "0.9-1")
    upstreams.bring(filled, root)
    lists = (root / "apt/dists/jammy/main/binary-amd64/Packages").read_text()
    assert {"Version: 0.9-1", "Version: 1.0-1"} <= set(lists.splitlines())


def test_a_folder_of_another_site_is_refused_and_nothing_is_changed(
    upstreams: World, filled: Path, tmp_path: Path
) -> None:
    with pytest.raises(Error, match=f"found:  a folder for {SITE}"):
        upstreams.bring(filled, tmp_path / "srv", site="registry.other.internal")
    assert not (tmp_path / "srv").exists()


def test_a_full_disk_is_refused_before_anything_is_changed(
    upstreams: World, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(Error, match="nothing was changed"):
        upstreams.bring(filled, tmp_path / "srv")
    assert not [path for path in (tmp_path / "srv").rglob("*") if path.is_file()]


def test_a_second_fill_fetches_nothing_again(upstreams: World, filled: Path, tmp_path: Path) -> None:
    out = copy_of(filled, tmp_path)
    (out / "images/kubernetes/pause/oci-put-blob123").write_text("half of a layer, of a run that was killed")
    payload = [path for path in out.rglob("*") if path.suffix in (".deb", ".whl", ".gz")]
    before = {path: path.stat().st_mtime_ns for path in payload}
    upstreams.fill(out)
    assert {path: path.stat().st_mtime_ns for path in payload} == before
    assert bundle.read(out) == bundle.read(filled)


def test_a_page_in_place_of_an_archive_is_refused_and_not_kept(upstreams: World, tmp_path: Path) -> None:
    page = tmp_path / "engine.tar.gz"
    page.write_text("<html>Not found</html>")
    tool = replace(upstreams.items[4], source=f"file://{page}")
    with pytest.raises(ToolError, match="an archive of gzip"):
        upstreams.fill(tmp_path / "out", [tool])
    assert not list((tmp_path / "out").rglob("*engine*"))
    assert not (tmp_path / "out" / bundle.NAME).exists(), "the folder does not count as whole"


def test_a_package_that_vanished_upstream_is_named(upstreams: World, tmp_path: Path) -> None:
    gone = replace(upstreams.items[0], version="1.1-1")
    with pytest.raises(ToolError, match=r"packages of jammy: E: Version '1.1-1' for 'kubelet' was not found"):
        upstreams.fill(tmp_path / "out", [gone])


def test_a_wheel_with_another_digest_is_refused(upstreams: World, tmp_path: Path) -> None:
    other = replace(upstreams.items[2], digests=("sha256:" + "0" * 64,))
    with pytest.raises(ToolError, match=r"wheels of locks/controller.txt"):
        upstreams.fill(tmp_path / "out", [other])


def test_a_repository_whose_key_is_another_is_refused(upstreams: World, tmp_path: Path) -> None:
    other = replace(upstreams, upstream=Upstream(file=table(upstreams.folder, fingerprint="0" * 40)))
    with pytest.raises(Error, match="Ask the project whether its key changed"):
        other.fill(tmp_path / "out", [upstreams.items[0]])


def test_what_a_site_has_already_is_not_carried_again(
    upstreams: World, filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One package is new; the site has the rest from the first folder, of which its list was kept."""
    root, out, new = tmp_path / "srv", copy_of(filled, tmp_path), tmp_path / "new"
    upstreams.bring(filled, root)
    make_package(out / "apt/jammy", "kubelet", "1.1-1", depends="conntrack")
    bundle.write(out, SITE)
    assert main(["pack", str(out), "--since", str(filled / bundle.NAME), "--to", str(new)]) == 0
    assert "new: 1 files" in capsys.readouterr().out
    assert [file.path for file in bundle.read(new).files] == ["apt/jammy/kubelet_1.1-1_amd64.deb"]
    assert upstreams.bring(new, root) == ["apt/pool/jammy/kubelet_1.1-1_amd64.deb"]
    lists = (root / "apt/dists/jammy/main/binary-amd64/Packages").read_text()
    assert {"Version: 1.0-1", "Version: 1.1-1"} <= set(lists.splitlines())


def test_an_image_whose_layer_is_carried_in_parts_keeps_its_digest(
    upstreams: World, filled: Path, tmp_path: Path
) -> None:
    medium, root = tmp_path / "medium", tmp_path / "srv"
    assert main(["pack", str(filled), "--to", str(medium), "--largest-gb", "50e-6"]) == 0
    assert {path.parent for path in medium.rglob("*.part00?")} == {medium / "images/blobs/sha256"}
    image = replace(upstreams.items[1], at=f"{upstreams.registry}/parts:1.0")
    assert f"{upstreams.registry}/parts:1.0" in replace(upstreams, items=[image]).bring(medium, root)
    asked = ["skopeo", "inspect", "--format={{.Digest}}"]
    digests = [
        subprocess.run([*asked, f"docker://{upstreams.registry}/{name}"], check=True, capture_output=True).stdout
        for name in ("parts:1.0", "library/pause:1.0")
    ]
    assert digests[0] == digests[1]
    assert not list(root.glob(".*")), "the layer that was put together is gone again"


def test_a_layer_in_parts_that_the_registry_has_needs_no_room_again(
    upstreams: World, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second import, and one of packages alone: neither puts the layer together."""
    medium, root = tmp_path / "medium", tmp_path / "srv"
    assert main(["pack", str(filled), "--to", str(medium), "--largest-gb", "50e-6"]) == 0
    image = replace(upstreams.items[1], at=f"{upstreams.registry}/again:1.0")
    site = replace(upstreams, items=[image])
    site.bring(medium, root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    assert site.bring(medium, root) == [image.at]
    assert replace(upstreams, items=[]).bring(medium, root) == []
    with pytest.raises(Error, match="nothing was changed"):
        replace(upstreams, items=[replace(image, at=f"{upstreams.registry}/new:1.0")]).bring(medium, root)


def test_what_is_new_goes_to_no_folder_that_holds_something(upstreams: World, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    assert main(["pack", str(filled), "--since", str(filled), "--to", str(tmp_path)]) == 2


def test_a_repository_keeps_the_name_by_which_hosts_know_it(upstreams: World, filled: Path, tmp_path: Path) -> None:
    root = tmp_path / "srv"
    lists = root / "apt/dists/jammy"
    upstreams.bring(filled, root)
    assert "Origin: qwen-onprem\n" in (lists / "InRelease").read_text()
    (lists / "Release").write_text("Origin: our archive\nLabel: packages of the site\nSuite: jammy\n")
    publish(root / "apt", "jammy", "site")
    text = (lists / "InRelease").read_text()
    assert "Origin: our archive\n" in text
    assert "Label: packages of the site\n" in text


def test_an_expired_key_of_the_repository_is_named_and_the_old_lists_stay(
    upstreams: World, filled: Path, tmp_path: Path
) -> None:
    root = tmp_path / "srv"
    upstreams.bring(filled, root)
    before = (root / "apt/dists/jammy/InRelease").read_bytes()
    make = ["gpg", "--batch", "--passphrase", "", "--faked-system-time", "20200101T000000"]
    make += ["--quick-generate-key", "expired", "ed25519", "sign", "1d"]
    subprocess.run(make, check=True, capture_output=True)
    with pytest.raises(ToolError, match=r"gpg: .*expired"):
        publish(root / "apt", "jammy", "expired")
    assert (root / "apt/dists/jammy/InRelease").read_bytes() == before
