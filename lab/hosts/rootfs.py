"""Root file systems made from Debian's packages: for the base of images, bare hosts and the mirror."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import store
from lab.progress import LAST_LINE
from lab.shell import logged

SUITE = "bookworm"
UNITS = Path("/etc/systemd/system")
ROUTE = """\
[Unit]
Description=default route to a gateway that forwards nothing
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'exec /usr/sbin/ip route replace default via $(cat /etc/rack-gateway)'
[Install]
WantedBy=multi-user.target
"""
REGISTRY = """\
[Unit]
Description=OCI registry
[Service]
ExecStart=/usr/local/bin/registry serve /etc/registry.yml
Restart=always
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class RootFs:
    """A root file system.

    packages: packages beyond Debian's minimal set
    unit:     name and text of a systemd unit of the rack, which is enabled
    """

    name: str
    packages: tuple[str, ...]
    unit: tuple[str, str] | None = None


BASE = RootFs("base", ("ca-certificates",))
# What an operating-system installer leaves on a server, and no more: roles install the rest.
HOST = RootFs(
    "host",
    (
        *("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "openssh-server", "iproute2", "iptables"),
        *("kmod", "procps", "xfsprogs", "ca-certificates"),
    ),
    ("route.service", ROUTE),
)
# The same server with a kernel of its own, for a virtual machine.
MACHINE = RootFs("machine", (*HOST.packages, "linux-image-cloud-amd64", "initramfs-tools", "udev", "e2fsprogs"))
MIRROR = RootFs(
    "mirror",
    ("systemd", "systemd-sysv", "dbus", "iproute2", "nginx-light", "ca-certificates"),
    ("registry.service", REGISTRY),
)


def build(rootfs: RootFs) -> tuple[Path, bool]:
    """The tar, and whether it had to be made. It has no apt source: a host gets its site's mirror from a role."""
    made_from = store.key(rootfs.name, *rootfs.packages, *(rootfs.unit or ()), SUITE)
    folder, made = store.obtain(f"rootfs/{rootfs.name}", made_from, lambda into: _mmdebstrap(rootfs, into))
    return folder / "rootfs.tar", made


def _mmdebstrap(rootfs: RootFs, into: Path) -> None:
    hooks = ["--customize-hook=rm -rf $1/etc/apt/sources.list $1/etc/apt/sources.list.d/*"]
    if rootfs.unit:
        name, text = rootfs.unit
        (into / name).write_text(text)
        hooks += [
            f"--customize-hook=upload {into / name} {UNITS / name}",
            f"--customize-hook=ln -s {UNITS / name} $1{UNITS}/multi-user.target.wants/{name}",
        ]
    logged(
        "rootfs",
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(rootfs.packages)}"),
        *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"),
        *hooks,
        *(SUITE, into / "rootfs.tar"),
        progress=LAST_LINE,
    )
