"""The command `qwen-controller`: keeps what only the controller holds, and puts it back on another one."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ansible.errors import AnsibleError
from qwen_runtime.errors import Error

from mirror.site import Site

from . import archive, parts

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for what is refused."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except Error as problem:
        print(problem, file=sys.stderr)
        return BAD_INPUT
    except AnsibleError as problem:
        print(f"found:  {problem}\nneeded: an inventory that Ansible can read\nremedy: correct it", file=sys.stderr)
        return BAD_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen-controller", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keeping = commands.add_parser(
        "backup", help="write inventory, stack file, site files and pulumi's state to one file"
    )
    keeping.add_argument("site", type=Path, metavar="SITE", help="folder of the site's inventory")
    keeping.add_argument("--to", type=Path, required=True, metavar="FILE", help="new file; it holds private keys")
    keeping.add_argument(
        "--also", type=Path, action="append", default=[], metavar="PATH", help="such as a history file"
    )
    keeping.add_argument("--stack", type=Path, metavar="FILE", help="default: pulumi/Pulumi.<name of SITE>.yaml")
    keeping.set_defaults(run=_backup)
    restoring = commands.add_parser("restore", help="put back what is missing, and change nothing that is there")
    restoring.add_argument("file", type=Path, metavar="FILE")
    restoring.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="folder before every path, for a rehearsal"
    )
    restoring.set_defaults(run=_restore)
    return parser


def _backup(options: argparse.Namespace) -> None:
    found = parts.parts(Site(options.site, stack=options.stack), options.site, options.also)
    kept = archive.write(options.to, options.site.resolve().name, _commit(), found)
    for part in found:
        print(f"{part.name}: {part.path}")
    print(f"kept {len(kept.files)} files in {options.to}. Not in it: the vault's password and pulumi's passphrase")


def _restore(options: argparse.Namespace) -> None:
    kept, written = archive.restore(options.file, options.root)
    print(f"put back {len(written)} of {len(kept.files) + len(kept.links)} files of {kept.site}")
    if kept.commit != _commit():
        print(f"the site was run from commit {kept.commit or 'unknown'}, this clone is at {_commit() or 'unknown'}")
    print("next: the vault's password and pulumi's passphrase from your password store; a preview then shows no change")


def _commit() -> str:
    """Commit of this clone; empty where it is not one."""
    asked = ["git", "-C", str(parts.CLONE), "rev-parse", "HEAD"]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()
