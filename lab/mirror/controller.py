"""The controller's things on the mirror: packages, locked wheels, and pulumi's engine and provider.

They come by a signed folder of their own, which is made when something asks for it: `make up` works with the machine's
own environment and programs, and would wait for a download of which it uses nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import yaml

from lab import store
from lab.hosts import network, rootfs
from lab.mirror import bundles, keys, product, server, stand_in_tools, upstream
from lab.paths import CONTROLLER_ENV, LAB, REPO
from lab.progress import Parts
from lab.shell import logged

LOCK = REPO / "locks/controller.txt"
SYSTEM = "Debian-12"
USER = "--for=controller"
KINDS = ("--kind=wheel", "--kind=tool")
"""Kinds that the mirror's web server gives. A new controller installs Debian's packages from the folder itself."""


def carried() -> bundles.Bundle:
    """The signed folder, with Debian's packages for a host as it comes."""
    host_tar, _ = rootfs.build(rootfs.HOST)
    archives = (*stand_in_tools.names(), *map(str, stand_in_tools.programs()))
    made_from = store.key(LOCK, host_tar.with_name(store.SUMS), *archives, *bundles.FILLING)

    def fill(folder: Path) -> None:
        stand_in_tools.make()
        logged("mirror", "apt-get", "update", "-q")
        with tempfile.TemporaryDirectory() as scratch:
            status = bundles.status(host_tar, Path(scratch))
            product.fill(
                folder, *KINDS, "--kind=apt", f"--from={upstream.DEBIAN}", f"--status={rootfs.SUITE}={status}",
                USER, values(),
                progress=Parts(r"^\s*Collecting (\S+)", LOCK.read_text().count("==")),
                env={"PATH": f"{CONTROLLER_ENV}/bin:{os.environ['PATH']}", **upstream.proxy()},
            )  # fmt: skip
        shutil.rmtree(stand_in_tools.FOLDER)

    return bundles.Bundle("controller", made_from, fill)


def publish() -> Path:
    """Import the folder for the mirror's web server, in place of an earlier one; returns it as it is carried."""
    folder = carried().obtain()
    # The mirror has this folder mounted: what is in it may be removed, and not the folder itself.
    for old in server.FILES.iterdir():
        shutil.rmtree(old)
    product.bring(folder, *KINDS, USER, values(), *bundles.receiving(server.FILES), env=keys.ENVIRONMENT)
    keys.end_agent()
    return folder


def values() -> str:
    """Option by which the site's controller is one that the mirror serves, at an address that this machine knows."""
    file = LAB / "controller.yml"
    settings = {"site_controller_system": SYSTEM, "site_mirror_url": f"https://{network.MIRROR}"}
    file.write_text(yaml.safe_dump(settings))
    return f"--extra-vars={file}"
