"""Signatures over files: Ed25519, made and verified by openssl, in `<file>.sig` beside the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from qwen_runtime.errors import Error, Fault, UsageError

SUFFIX = ".sig"


def of(file: Path) -> Path:
    """The place of a file's signature."""
    return file.with_name(file.name + SUFFIX)


def sign(file: Path, key: Path) -> None:
    """Sign with a private key, PEM of an Ed25519 key; openssl asks for its passphrase.

    Raises UsageError where there is no key, Error for one that openssl does not take.
    """
    _is_there(key, "the private key of the site")
    signature = of(file)
    partial = signature.with_name(f".{signature.name}.partial")
    command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file, "-out", partial]
    signing = subprocess.run(list(map(str, command)), check=False, stderr=subprocess.PIPE, text=True)
    if signing.returncode:
        partial.unlink(missing_ok=True)
        words = " / ".join(signing.stderr.strip().splitlines())
        raise Error(f"{key}: {words}", "an Ed25519 key as PEM", "See docs/operate/mirror.md for how to make one.")
    partial.replace(signature)


def fault(file: Path, key: Path) -> Fault | None:
    """A signature that is missing, or is not of this file and this public key.

    Nothing is asked of a network. Raises UsageError where there is no key.
    """
    _is_there(key, "the public key of the site")
    needed, remedy = f"a signature by the key of {key}", "Sign it where it was made, and copy it again."
    signature = of(file)
    if not signature.is_file():
        return Fault(file.name, "no signature", needed, remedy)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", file, "-sigfile", signature]
    verifying = subprocess.run(list(map(str, command)), check=False, capture_output=True)
    if verifying.returncode:
        return Fault(file.name, "a signature that is not of this list and this key", needed, remedy)
    return None


def _is_there(key: Path, what: str) -> None:
    if not key.is_file():
        raise UsageError(f"no file {key}", what, "Name its file; docs/operate/mirror.md says how to make one.")
