"""The mirror's apt repository, signed by the lab: packages of Debian, of Kubernetes and stand-ins for NVIDIA's.

It holds several versions of a package: a site must be able to return to the previous one.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from lab import deb, store
from lab.gpu import nvidia_debs
from lab.hosts import rootfs
from lab.kubernetes import kubernetes_debs
from lab.mirror import debian_packages
from lab.paths import CACHE, REPO
from lab.shell import output

KEY_USER = "qwen-onprem lab mirror"


def build(base_tar: Path) -> tuple[Path, bool]:
    """The repository's folder (dists/, pool/, key.asc), and whether it had to be made."""
    debian, _ = debian_packages.obtain(base_tar)
    code = (kubernetes_debs.__file__, deb.__file__, __file__)
    made_from = store.key(
        *(debian / store.SUMS, *kubernetes_debs.sources(), *nvidia_debs.sources()),
        *(*map(Path, code), REPO / "versions.yml"),
    )
    return store.obtain("mirror/apt", made_from, lambda into: _fill(into, debian))


def _fill(into: Path, debian: Path) -> None:
    pool = into / "pool"
    pool.mkdir()
    for package in debian.glob("*.deb"):
        # apt writes a version's epoch into the name as %3a, which a URL would read as a colon.
        os.link(package, pool / re.sub(r"_\d+%3a", "_", package.name))
    with tempfile.TemporaryDirectory() as scratch:
        kubernetes_debs.build(Path(scratch) / "kubernetes", pool)
        nvidia_debs.build(Path(scratch) / "nvidia", pool)
    index(into)


def index(into: Path) -> None:
    """Write the signed lists of all packages in pool/, and the public key."""
    release = into / "dists" / rootfs.SUITE
    lists = release / "main/binary-amd64"
    lists.mkdir(parents=True)
    (lists / "Packages").write_text(output("apt-ftparchive", "packages", "pool", cwd=into) + "\n")
    facts = {"Origin": "qwen-onprem", "Label": "qwen-onprem", "Suite": rootfs.SUITE, "Codename": rootfs.SUITE}
    facts |= {"Architectures": "amd64", "Components": "main", "Description": "site mirror"}
    options = [word for name, value in facts.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    text = output("apt-ftparchive", *options, "release", release)
    (release / "Release").write_text(text + "\n")
    key = _signing_key()
    output(
        "gpg", "--clearsign", "--local-user", key, "--output", release / "InRelease", release / "Release", env=_gnupg()
    )
    (into / "key.asc").write_text(output("gpg", "--armor", "--export", key, env=_gnupg()) + "\n")
    # gpg starts an agent that would run on after this program.
    output("gpgconf", "--kill", "gpg-agent", env=_gnupg())


def _signing_key() -> str:
    """Fingerprint of the lab's key, which is made once and stays in the cache."""
    home = Path(_gnupg()["GNUPGHOME"])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    listed = _fingerprints()
    if not listed:
        output(
            *("gpg", "--batch", "--passphrase", "", "--quick-generate-key", KEY_USER, "ed25519", "sign", "never"),
            env=_gnupg(),
        )
        listed = _fingerprints()
    return listed[0]


def _fingerprints() -> list[str]:
    listed = output("gpg", "--list-secret-keys", "--with-colons", env=_gnupg())
    return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]


def _gnupg() -> dict[str, str]:
    return {"GNUPGHOME": str(CACHE / "gnupg")}
