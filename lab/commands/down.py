"""`make down`: removes all that `make up` made and restores the kernel's settings. Caches stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.cluster import site
from lab.hosts import network, podman, rack, vm
from lab.machine import kernel, ownership
from lab.mirror import client, image_builds
from lab.paths import LAB, STATE
from lab.shell import output

IMAGES = ("localhost/qwen-lab/", client.REGISTRY_ADDRESS)


def down(*, force: bool) -> int:
    held = ownership.lock()
    other = ownership.foreign()
    if other and not (force or ownership.unattended()):
        raise ownership.refuse(other)
    remove(other / ".lab" if other else LAB)
    held.close()
    shutil.rmtree(STATE)
    print("the lab is gone; caches stay: `make clean-cache` removes them")
    return 0


def remove(lab_folder: Path) -> None:
    """Remove the lab on this machine, of any clone. Each step succeeds where there is nothing left to remove."""
    site.disconnect(lab_folder)
    vm.remove_all()
    if shutil.which("podman"):
        for container in podman.containers():
            podman.remove(container)
        network.remove()
        listed = output("podman", "images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}").splitlines()
        for image in {line.split()[0] for line in listed if line.split()[1].startswith(IMAGES)}:
            output("podman", "rmi", "--force", image)
    kernel.restore()
    for mount in [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()][::-1]:
        if Path(mount).is_relative_to(image_builds.WORK):  # an interrupted build leaves its layers mounted
            output("umount", "--lazy", mount)
    for folder in (rack.DISKS, vm.MACHINES, image_builds.WORK, lab_folder):
        if folder.exists():
            shutil.rmtree(folder)
    ownership.release()
