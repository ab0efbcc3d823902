"""Keys of the lab's packages and bundles. They are made once and stay in the cache."""

from __future__ import annotations

from pathlib import Path

from lab import store
from lab.paths import CACHE
from lab.shell import output

GNUPG = CACHE / "gnupg"
ENVIRONMENT = {"GNUPGHOME": str(GNUPG)}


def fingerprint(user: str) -> str:
    """Fingerprint of a user's key of packages."""
    GNUPG.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (known := _fingerprints(user)):
        made = ("--quick-generate-key", user, "ed25519", "sign", "never")
        output("gpg", "--batch", "--passphrase", "", *made, env=ENVIRONMENT)
        known = _fingerprints(user)
        end_agent()
    return known[0]


def _fingerprints(user: str) -> list[str]:
    listed = output("gpg", "--list-keys", "--with-colons", env=ENVIRONMENT)
    found: list[str] = []
    last = ""
    for line in listed.splitlines():
        fields = line.split(":")
        if fields[0] == "fpr":
            last = fields[9]
        elif fields[0] == "uid" and fields[9] == user:
            found.append(last)
    return found


def clearsign(user: str, text: Path, into: Path) -> None:
    output("gpg", "--clearsign", "--local-user", fingerprint(user), "--output", into, text, env=ENVIRONMENT)
    end_agent()


def export(user: str, into: Path) -> None:
    """Write the public key."""
    into.write_text(output("gpg", "--armor", "--export", fingerprint(user), env=ENVIRONMENT) + "\n")


def end_agent() -> None:
    """End gpg's agent, which would run on after this program."""
    output("gpgconf", "--kill", "gpg-agent", env=ENVIRONMENT)


def of_bundles() -> tuple[Path, Path]:
    """Private and public key of the bundles' lists."""
    folder, _ = store.obtain("mirror/bundle-key", store.key("ed25519"), _make)
    return folder / "key.pem", folder / "key.pub"


def _make(into: Path) -> None:
    output("openssl", "genpkey", "-algorithm", "ed25519", "-out", into / "key.pem")
    output("openssl", "pkey", "-in", into / "key.pem", "-pubout", "-out", into / "key.pub")
