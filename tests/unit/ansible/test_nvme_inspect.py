"""A list of names means certain disks, and a disk that cannot be taken says why."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .by_path import load

inspect_disks = load("nvme/files/inspect_disks.py")
stale_mounts = load("nvme/files/stale_mounts.py")
LABEL = "any:models"


class Disks:
    """Stands in for wipefs and lsblk; by-id links are real ones in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signatures: dict[str, list[dict[str, str]]] = {}
        self.trees: dict[str, dict[str, Any]] = {}
        self.dead: list[str] = []

    def add(self, name: str, *signatures: dict[str, str], **tree: Any) -> str:
        device = self.folder / f"dev-{name}"
        device.touch()
        (self.folder / f"nvme-ACME_{name}").symlink_to(device)
        self.signatures[str(device)] = list(signatures)
        self.trees[str(device)] = {"name": str(device), "type": "disk", "mountpoints": [None], **tree}
        return str(self.folder / f"nvme-ACME_{name}")

    def run(self, argv: list[str], **_: Any) -> SimpleNamespace:
        if argv[-1] in self.dead:
            raise subprocess.CalledProcessError(1, argv, stderr="Input/output error\n")
        if argv[0] == "wipefs":
            found = self.signatures[argv[-1]]
            return SimpleNamespace(stdout=json.dumps({"signatures": found}) if found else "")
        return SimpleNamespace(stdout=json.dumps({"blockdevices": [self.trees[argv[-1]]]}))

    def inspect(
        self, devices: list[str], wipe: list[str] | None = None, released: list[str] | None = None
    ) -> dict[str, Any]:
        question: dict[str, Any] = {
            "devices": devices,
            "wipe": wipe or [],
            "array": str(self.folder / "md"),
            "label": LABEL,
        }
        question["released"] = released or []
        answer: dict[str, Any] = inspect_disks.inspect(question)
        return answer


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    stand_in = Disks(tmp_path)
    monkeypatch.setattr(subprocess, "run", stand_in.run)
    return stand_in


def test_a_star_names_every_disk_once_and_no_partition(disks: Disks) -> None:
    first = disks.add("A")
    disks.add("B")
    (disks.folder / "nvme-ACME_A-part1").symlink_to(disks.folder / "dev-A")
    (disks.folder / "nvme-ACME_A_1").symlink_to(disks.folder / "dev-A")
    found = disks.inspect([str(disks.folder / "nvme-ACME_*")])
    assert [disk["path"] for disk in found["disks"]] == [str(disks.folder / f"dev-{name}") for name in "AB"]
    assert found["disks"][0]["name"] == first


def test_a_drives_name_is_no_name_for_one_of_its_namespaces(disks: Disks) -> None:
    """A drive with two namespaces: udev's name without a number points to the one that came last."""
    disks.add("A_1")
    disks.add("A_2", {"type": "ext4"})
    (disks.folder / "nvme-ACME_A").symlink_to(disks.folder / "dev-A_2")
    name = str(disks.folder / "nvme-ACME_A")
    found = disks.inspect([str(disks.folder / "nvme-ACME_*")], wipe=[name])
    assert found["ambiguous"] == {name: [f"{name}_1", f"{name}_2"]}
    assert [disk["name"] for disk in found["disks"]] == [f"{name}_1", f"{name}_2"]


def test_the_twin_of_a_drive_with_one_namespace_is_the_same_disk(disks: Disks) -> None:
    name = disks.add("A", {"type": "ext4"})
    (disks.folder / "nvme-ACME_A_1").symlink_to(disks.folder / "dev-A")
    found = disks.inspect([name, f"{name}_1"], wipe=[f"{name}_1"])
    assert found["ambiguous"] == {}
    assert [(disk["name"], disk["obstacle"]) for disk in found["disks"]] == [(name, "")]


def test_a_name_without_a_disk_is_told(disks: Disks) -> None:
    assert disks.inspect(["/dev/disk/by-id/nvme-gone"])["unmatched"] == ["/dev/disk/by-id/nvme-gone"]


def test_an_empty_disk_can_be_taken(disks: Disks) -> None:
    [disk] = disks.inspect([disks.add("A")])["disks"]
    assert (disk["obstacle"], disk["contents"], disk["own"]) == ("", [], False)


@pytest.mark.parametrize("kind", ["ext4", "gpt", "linux_raid_member", "LVM2_member", "crypto_LUKS"])
def test_a_disk_that_holds_something_is_an_obstacle(disks: Disks, kind: str) -> None:
    [disk] = disks.inspect([disks.add("A", {"type": kind})])["disks"]
    assert disk["obstacle"] == f"holds {kind}"


def test_a_disk_named_for_it_may_be_wiped_and_its_neighbour_not(disks: Disks) -> None:
    names = [disks.add("A", {"type": "ext4"}), disks.add("B", {"type": "ext4", "label": "home"})]
    found = disks.inspect(names, wipe=names[:1])["disks"]
    assert [disk["obstacle"] for disk in found] == ["", "holds ext4 home"]


def test_a_disk_in_use_is_an_obstacle_even_when_it_may_be_wiped(disks: Disks) -> None:
    part = {"name": "/dev/p1", "type": "part", "mountpoints": ["/"]}
    name = disks.add("A", {"type": "gpt"}, children=[part])
    [disk] = disks.inspect([name], wipe=[name])["disks"]
    assert disk["obstacle"] == "in use: /dev/p1 mounted on /"


def test_partitions_that_nothing_uses_may_be_wiped(disks: Disks) -> None:
    part = {"name": "/dev/p1", "type": "part", "mountpoints": [None]}
    name = disks.add("A", {"type": "gpt"}, children=[part])
    [disk] = disks.inspect([name], wipe=[name])["disks"]
    assert disk["obstacle"] == ""


def test_a_member_of_the_own_array_is_known_by_its_label(disks: Disks) -> None:
    own, foreign = (
        disks.add(n, {"type": "linux_raid_member", "label": text}) for n, text in (("A", LABEL), ("B", "x:y"))
    )
    found = disks.inspect([own, foreign])["disks"]
    assert [disk["own"] for disk in found] == [True, False]
    assert [disk["obstacle"] for disk in found] == ["", "holds linux_raid_member x:y"]


@pytest.fixture
def raid(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """The data drives as DGX OS leaves them: an array of two, mounted on /raid. Returns it and the drives' names."""
    md = disks.folder / "md1"
    md.touch()
    node = {"name": str(md), "type": "raid0", "mountpoints": ["/raid"]}
    names = [disks.add(n, {"type": "linux_raid_member", "label": "dgx1:1"}, children=[node]) for n in "AB"]
    disks.trees[str(md)] = node
    members = [str(disks.folder / f"dev-{n}") for n in "AB"]
    monkeypatch.setattr(inspect_disks, "read_links", lambda device, _: members if device == str(md) else [])
    return str(md), names


def test_an_array_of_the_installer_is_in_the_way_until_it_is_named(disks: Disks, raid: tuple[str, list[str]]) -> None:
    md, names = raid
    assert {disk["obstacle"] for disk in disks.inspect(names)["disks"]} == {f"in use: raid0 {md}"}
    found = disks.inspect(names, released=[md])
    assert {disk["obstacle"] for disk in found["disks"]} == {""}
    [array] = found["released"]
    assert (array["mounts"], array["other_use"]) == (["/raid"], [])
    assert array["disks"] == ["/dev/dev-A", "/dev/dev-B"]


def test_an_array_that_is_gone_already_is_no_question(disks: Disks) -> None:
    assert disks.inspect([disks.add("A")], released=["/dev/md/gone"])["released"] == []


def test_what_stands_on_an_array_to_let_go_is_told(disks: Disks, raid: tuple[str, list[str]]) -> None:
    md, names = raid
    disks.trees[md]["children"] = [{"name": "/dev/vg/home", "type": "lvm", "mountpoints": [None]}]
    [array] = disks.inspect(names, released=[md])["released"]
    assert array["other_use"] == ["lvm /dev/vg/home"]


def test_a_dead_drive_that_still_has_its_name_is_an_obstacle(disks: Disks) -> None:
    name = disks.add("A")
    disks.dead.append(str(disks.folder / "dev-A"))
    [disk] = disks.inspect([name], wipe=[name])["disks"]
    assert (disk["obstacle"], disk["own"]) == ("cannot be read (Input/output error)", False)


@pytest.mark.parametrize("state", ["broken", "clean"])
def test_a_running_array_names_the_drives_that_are_gone(
    disks: Disks, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """The array has lost its name: udev takes it away with the drive. The numbers are none that this machine has."""
    monkeypatch.setattr(inspect_disks, "SYS", disks.folder / "sys")
    for folder in ("md999/md", "md999/slaves/nvme998n1", "md999/slaves/nvme999n1", "dev-A/holders/md999"):
        (disks.folder / "sys" / folder).mkdir(parents=True)
    (disks.folder / "sys/md999/md/array_state").write_text(f"{state}\n")
    found = disks.inspect([disks.add("A", {"type": "linux_raid_member", "label": LABEL})])
    assert found["array_members"] == found["lost_members"] == ["/dev/nvme998n1", "/dev/nvme999n1"]
    assert [disk["holders"] for disk in found["disks"]] == [["/dev/md999"]]


def test_an_array_that_waits_for_a_drive_does_not_run(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_disks, "SYS", disks.folder / "sys")
    for folder in ("md999/md", "md999/slaves/nvme999n1", "dev-A/holders/md999"):
        (disks.folder / "sys" / folder).mkdir(parents=True)
    (disks.folder / "sys/md999/md/array_state").write_text("inactive\n")
    found = disks.inspect([disks.add("A", {"type": "linux_raid_member", "label": LABEL})])
    assert (found["array_members"], found["disks"][0]["own"]) == ([], True)


def test_a_line_of_fstab_without_its_device_is_told_unless_boot_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_mounts, "FSTAB", tmp_path / "fstab")
    gone = "01234567-89ab-cdef-0123-456789abcdef"
    lines = ["# /raid was on /dev/md1", f"UUID={gone} /raid xfs defaults 0 0", f"UUID={gone} /spare xfs nofail 0 0"]
    lines += [
        "/dev/md/none /data ext4 defaults 0 0",
        "tmpfs /tmp tmpfs defaults 0 0",
        "nas:/home /home nfs defaults 0 0",
    ]
    (tmp_path / "fstab").write_text("\n".join(lines))
    assert [line["mount"] for line in stale_mounts.read_stale_mounts()] == ["/raid", "/data"]
