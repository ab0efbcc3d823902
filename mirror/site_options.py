"""Options that name a site, and what of its list a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from .item import KINDS


def describe_statuses(parser: argparse.ArgumentParser) -> None:
    """Add the option with hosts' packages."""
    parser.add_argument(
        "--status", action="append", default=[], type=_status, metavar="SUITE=FILE",
        help="/var/lib/dpkg/status of a host as it comes, for dependencies that it has; once for each suite",
    )  # fmt: skip


def _status(text: str) -> tuple[str, Path]:
    suite, _, file = text.partition("=")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"found no file {file!r}, needed SUITE=FILE; remedy: copy it from a host")
    return suite, Path(file)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command about a site has."""
    parser.add_argument("site", type=Path, metavar="SITE", help="folder of the site's inventory")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be repeated")
    parser.add_argument(
        "--stack", type=Path, metavar="FILE", help="the stack's settings (default: pulumi/Pulumi.<name of SITE>.yaml)"
    )
    parser.add_argument("--variant", default="cuda", help="variant of the runtime image: cuda (default) or cpu")
    parser.add_argument(
        "--from", action="append", default=[], dest="origin", metavar="NAME",
        help="of packages, only those from this repository of the table of addresses; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--for", action="append", default=[], dest="users", metavar="NAME",
        help="only what this group of hosts, `controller` or `image NAME` needs; may be repeated",
    )  # fmt: skip
    parser.add_argument("--upstream", type=Path, metavar="FILE", help="addresses in place of mirror/upstream.yml")
    parser.add_argument("--versions", type=Path, metavar="FILE", help="another versions.yml, as that of a release")
    parser.add_argument(
        "--extra-vars", type=Path, action="append", default=[], metavar="FILE", help="variables over the inventory's"
    )
    parser.add_argument(
        "--catalog", type=Path, action="append", metavar="FILE", help="catalogue in place of images/catalog.yml"
    )
    parser.add_argument("--vault-password-file", action="append", default=[], metavar="FILE")
    parser.add_argument("--ask-vault-pass", action="store_true", help="ask for the vault's password")
