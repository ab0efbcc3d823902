"""Packages that `make up` installs start no service on a machine with systemd: tried on a host beside the rack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.apt_source import AptSource
from lab.hosts import rootfs
from lab.hosts.rack import PREFIX
from lab.machine import services
from lab.mirror import authority, client
from lab.paths import REPO

HOST = "packages1"
INSTALL = "from pathlib import Path; from lab.machine import bootstrap; bootstrap.packages(Path('/opt/packages.txt'))"
RUN_LEVEL_1 = "DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A bare host that installs from the mirror, with the lab's code and the list of packages with services."""
    scratch = [sys.executable, "-m", "lab", "scratch"]
    subprocess.run([*scratch, "up", HOST], cwd=REPO, check=True, capture_output=True)
    try:
        AptSource(client.APT, client.APT_KEY, authority.CERTIFICATE).write(rootfs.SUITE, tmp_path)
        subprocess.run(["podman", "cp", f"{tmp_path}/.", f"{PREFIX}{HOST}:/etc/apt"], check=True, capture_output=True)
        put("/opt/packages.txt", "\n".join(services.ENABLED))
        # The lab's paths name the controller's environment by its locks.
        for folder in ("lab", "locks"):
            copy = ["podman", "cp", REPO / folder, f"{PREFIX}{HOST}:/opt/{folder}"]
            subprocess.run(copy, check=True, capture_output=True)
        yield HOST
    finally:
        subprocess.run([*scratch, "down", HOST], cwd=REPO, check=True, capture_output=True)


def put(path: str, text: str) -> None:
    command = f"mkdir --parents $(dirname {path}); cat > {path}"
    subprocess.run(["podman", "exec", "-i", PREFIX + HOST, "sh", "-c", command], input=text, text=True, check=True)


def ask(command: str) -> str:
    done = subprocess.run(
        ["podman", "exec", "--workdir", "/opt", PREFIX + HOST, "sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def listening() -> set[str]:
    """Addresses on which the host listens."""
    return {line.split()[3] for line in ask("ss --no-header --listening --numeric --tcp").splitlines()}


@pytest.mark.usefixtures("host")
def test_installed_packages_start_nothing_now_or_at_boot() -> None:
    before = listening()
    ask(f'python3 -c "{INSTALL}"')
    ask(f"which {' '.join(services.ENABLED)}")
    assert listening() == before
    assert set(ask(f"systemctl is-enabled {' '.join(services.ENABLED)} || true").split()) == {"disabled"}
    ask(f"test ! -e {services.POLICY}")

    # systemd's packages do not heed this variable, so it would not have been enough.
    ask(f"apt-get purge -y -q {' '.join(services.ENABLED)} && {RUN_LEVEL_1} {' '.join(services.ENABLED)}")
    assert "*:9090" in listening() - before
