"""Print as JSON which disks a list of stable names means, what each of them holds, and the array that stands.

    python3 inspect_disks.py '{"devices": ["/dev/disk/by-id/nvme-*"], "wipe": [], "array": "/dev/md/models",
                               "released": [], "label": "any:models"}'

Signatures are read from the disks themselves (wipefs), not from udev's database. The script changes nothing.
"""

import glob
import json
import os
import re
import subprocess
import sys
from pathlib import Path

SYS = Path("/sys/block")
PARTITION = re.compile(r"-part\d+$")


def find_namespaces(name: str) -> list[str]:
    """Names of a drive's namespaces, NAME_1, NAME_2 ..., where NAME itself could mean any of several.

    udev lets NAME point to the namespace that it saw last, so that it may mean another one after a reboot.
    """
    twins = [link for link in sorted(glob.glob(f"{glob.escape(name)}_*")) if link[len(name) + 1 :].isdecimal()]
    return twins if len({os.path.realpath(link) for link in twins}) > 1 else []


def find_disks(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Kernel path of each whole disk that the names mean, to its first stable name; and the names that mean none."""
    disks: dict[str, str] = {}
    unmatched = []
    for name in names:
        links = [link for link in sorted(glob.glob(name)) if not (PARTITION.search(link) or find_namespaces(link))]
        if not (links or find_namespaces(name)):
            unmatched.append(name)
        for link in links:
            disks.setdefault(os.path.realpath(link), link)
    return disks, unmatched


def read_signatures(path: str) -> list[dict[str, str]]:
    """Everything on a device that some program would recognise: file systems, partition tables, RAID, LVM, LUKS."""
    done = subprocess.run(["wipefs", "--no-act", "--json", path], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["signatures"] if done.stdout.strip() else []


def read_use(path: str) -> list[str]:
    """Current use of a disk: mount points, arrays, volumes. A partition by itself is no use."""
    listed = subprocess.run(
        ["lsblk", "--json", "--paths", "--output", "NAME,TYPE,MOUNTPOINTS", path],
        check=True,
        capture_output=True,
        text=True,
    )
    return walk_use(json.loads(listed.stdout)["blockdevices"][0])


def walk_use(node: dict) -> list[str]:
    use = [f"{node['name']} mounted on {point}" for point in node["mountpoints"] if point]
    for child in node.get("children", []):
        use += walk_use(child) if child["type"] == "part" else [f"{child['type']} {child['name']}"]
    return use


def read_links(device: str, kind: str) -> list[str]:
    """Kernel paths of an array's disks (slaves, with those that are gone) or of what stands on a disk (holders)."""
    folder = SYS / os.path.basename(os.path.realpath(device)) / kind
    return sorted(f"/dev/{name}" for name in os.listdir(folder)) if folder.exists() else []


def find_array(path: str, disks: list[dict]) -> str:
    """The running array, also where udev took its name away because a drive is gone; else the path itself."""
    standing = [holder for disk in disks if disk["own"] for holder in disk["holders"]]
    for array in [] if os.path.exists(path) else standing:
        state = SYS / os.path.basename(array) / "md/array_state"
        if state.exists() and state.read_text().strip() not in ("inactive", "clear"):
            return array
    return path


def read_array(path: str) -> dict:
    """An array to release: the whole disks that it is made of, and where it is mounted."""
    members = [Path("/sys/class/block", os.path.basename(member)) for member in read_links(path, "slaves")]
    disks = {(m.resolve().parent if (m / "partition").exists() else m).name for m in members}
    use = read_use(path)
    return {
        "path": path,
        "disks": sorted(f"/dev/{name}" for name in disks),
        "mounts": [found.partition(" mounted on ")[2] for found in use if " mounted on " in found],
        "other_use": [found for found in use if " mounted on " not in found],
    }


def describe(path: str, name: str, may_be_wiped: bool, released: set[str], label: str) -> dict:
    """One disk; `obstacle` says why it cannot be taken, and is empty when it can. Arrays in `released` are none."""
    disk = {"path": path, "name": name, "holders": read_links(path, "holders")}
    try:
        signatures = read_signatures(path)
    except subprocess.CalledProcessError as error:  # a dead drive that still has its name
        return disk | {"contents": [], "own": False, "obstacle": f"cannot be read ({error.stderr.strip()})"}
    contents = sorted({" ".join(filter(None, (s["type"], s.get("label")))) for s in signatures})
    is_member = bool(signatures) and {(s["type"], s.get("label")) for s in signatures} == {("linux_raid_member", label)}
    use = [] if is_member else read_use(path)
    may_be_wiped |= any(found.split()[-1] in released for found in use)
    use = [found for found in use if found.split()[-1] not in released]
    if use:
        obstacle = f"in use: {', '.join(use)}"
    elif contents and not (is_member or may_be_wiped):
        obstacle = f"holds {', '.join(contents)}"
    else:
        obstacle = ""
    return disk | {"contents": contents, "own": is_member, "obstacle": obstacle}


def inspect(question: dict) -> dict:
    disks, unmatched = find_disks(question["devices"])
    wipe = {os.path.realpath(name) for name in question["wipe"] if os.path.exists(name)}
    ambiguous = {name: found for name in question["devices"] + question["wipe"] if (found := find_namespaces(name))}
    arrays = [read_array(path) for path in question["released"] if os.path.exists(path)]
    released = {os.path.realpath(array["path"]) for array in arrays}
    described = [
        describe(path, name, path in wipe, released, question["label"]) for path, name in sorted(disks.items())
    ]
    array = find_array(question["array"], described)
    members = read_links(array, "slaves")
    lost = [member for member in members if not os.path.exists(member)]
    on_array = read_signatures(array) if os.path.exists(array) and not lost else []
    return {
        "disks": described,
        "released": arrays,
        "unmatched": unmatched,
        "ambiguous": ambiguous,
        "array_members": members,
        "lost_members": lost,
        "array_contents": [signature["type"] for signature in on_array],
        "filesystem_uuid": next((s["uuid"] for s in on_array if s["type"] == "xfs"), ""),
    }


if __name__ == "__main__":
    print(json.dumps(inspect(json.loads(sys.argv[1]))))
