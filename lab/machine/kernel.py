"""Settings of the machine's kernel that a lab changes, because its hosts have no kernel of their own."""

from __future__ import annotations

import json
from pathlib import Path

from lab.paths import STATE

SETTINGS = Path("/proc/sys")
REMEMBERED = STATE / "kernel.json"
INOTIFY_INSTANCES = "fs/inotify/max_user_instances"
# The kernel counts them for all hosts together, and about eight systemds use up Debian's 128.
NEEDED_INSTANCES = 1024
# A host's systemd sets these as it boots, by itself and from Debian's files in /usr/lib/sysctl.d.
BY_SYSTEMD = (
    *("fs/file-max", "fs/nr_open", "fs/protected_fifos", "fs/protected_hardlinks", "fs/protected_regular"),
    *("fs/protected_symlinks", "kernel/pid_max"),
)
# A kubelet sets these as it starts, where it is allowed to.
BY_KUBELET = (
    *("kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops"),
    *("vm/overcommit_memory", "vm/panic_on_oom"),
)
CHANGED = (INOTIFY_INSTANCES, *BY_SYSTEMD, *BY_KUBELET)


def remember() -> None:
    """Record the settings before the first systemd boots, which is the mirror's. An existing record is kept."""
    if REMEMBERED.exists():
        return
    partial = REMEMBERED.with_suffix(".partial")
    partial.write_text(json.dumps({name: (SETTINGS / name).read_text().strip() for name in CHANGED}))
    partial.rename(REMEMBERED)


def let_many_watch_files() -> None:
    instances = SETTINGS / INOTIFY_INSTANCES
    if int(instances.read_text()) < NEEDED_INSTANCES:
        instances.write_text(str(NEEDED_INSTANCES))


def restore() -> None:
    """Restore the recorded settings. The lab's hosts must be gone, or they would change them again."""
    if not REMEMBERED.exists():
        return
    for name, value in json.loads(REMEMBERED.read_text()).items():
        (SETTINGS / name).write_text(value)
    REMEMBERED.unlink()
