"""Print as JSON the lines of fstab that the next boot would wait for in vain. The script changes nothing."""

import json
import os
from pathlib import Path

FSTAB = Path("/etc/fstab")
BY = {"UUID": "/dev/disk/by-uuid", "LABEL": "/dev/disk/by-label", "PARTUUID": "/dev/disk/by-partuuid"}


def read_stale_mounts() -> list[dict[str, str]]:
    """Lines of fstab without `nofail` whose device is not there."""
    stale = []
    lines = FSTAB.read_text().splitlines() if FSTAB.exists() else []
    for fields in map(str.split, lines):
        if len(fields) < 4 or fields[0].startswith("#") or {"nofail", "noauto"} & set(fields[3].split(",")):
            continue
        kind, _, value = fields[0].partition("=")
        device = f"{BY[kind]}/{value.strip(chr(34))}" if kind in BY else fields[0]
        if device.startswith("/dev/") and not os.path.exists(device):
            stale.append({"source": fields[0], "mount": fields[1]})
    return stale


if __name__ == "__main__":
    print(json.dumps(read_stale_mounts()))
