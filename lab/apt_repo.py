"""The mirror's apt repository: Debian packages with all they depend on, Kubernetes' packages, the lab's signature."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from lab import debs, rootfs, store
from lab.paths import BIN, CACHE, REPO
from lab.shell import logged, output

PACKAGES = REPO / "lab/mirror-packages.txt"
KEY_USER = "qwen-onprem lab mirror"


def build(base_tar: Path) -> tuple[Path, bool]:
    """Return the repository's folder (dists/, pool/, key.asc) and whether it had to be made."""
    made_from = store.key(
        PACKAGES, base_tar.with_name(store.SUMS), *(BIN / b for b in ("kubelet", "kubeadm", "kubectl")),
        REPO / "lab/debs.py", REPO / "lab/apt_repo.py", REPO / "versions.yml",
    )  # fmt: skip
    return store.obtain("mirror/apt", made_from, lambda into: _fill(into, base_tar))


def _fill(into: Path, base_tar: Path) -> None:
    packages = into / "archives"
    (packages / "partial").mkdir(parents=True)
    _download(packages, base_tar)
    debs.build(packages)
    key = _signing_key()
    configuration = into / "conf"
    configuration.mkdir()
    (configuration / "distributions").write_text(
        f"Origin: qwen-onprem\nLabel: qwen-onprem\nSuite: {rootfs.SUITE}\nCodename: {rootfs.SUITE}\n"
        f"Architectures: amd64\nComponents: main\nDescription: site mirror\nSignWith: {key}\n"
    )
    logged(
        "mirror",
        *("reprepro", "--basedir", into, "--silent", "includedeb", rootfs.SUITE),
        *sorted(packages.glob("*.deb")),
        env=_gnupg(),
    )
    (into / "key.asc").write_text(output("gpg", "--armor", "--export", key, env=_gnupg()) + "\n")
    # gpg starts an agent that would outlive the run.
    output("gpgconf", "--kill", "gpg-agent", env=_gnupg())
    shutil.rmtree(packages)


def _download(into: Path, base_tar: Path) -> None:
    """Fetch what a host made from the base image lacks: apt resolves against the base's own package database."""
    logged("mirror", "apt-get", "update", "-q")
    wanted = [w for line in PACKAGES.read_text().splitlines() if (w := line.split("#")[0].strip())]
    status = into / "partial/status"
    with tarfile.open(base_tar) as tar:
        member = tar.extractfile("./var/lib/dpkg/status")
        assert member is not None, "a mmdebstrap tar holds dpkg's database"
        status.write_bytes(member.read())
    logged(
        "mirror",
        *("apt-get", "install", "--yes", "-q", "--download-only", "--no-install-recommends"),
        *("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={into}", "-o", "Debug::NoLocking=1"),
        *("-o", "APT::Sandbox::User=root", *wanted),
    )


def _signing_key() -> str:
    """The fingerprint of the lab's key; it is made once and lives in the cache."""
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
