"""The command `qwen-mirror`: what a site's mirror must hold, and whether it does."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ansible.errors import AnsibleError
from qwen_runtime.errors import Error, message

from images.catalog import CATALOG, VERSIONS, ImageError

from . import check, formats, needs
from .item import KINDS, Item
from .site import Site

MISSING, BAD_INPUT = 1, 2
FORMATS = {"table": formats.table, "json": formats.as_json, "skopeo": formats.skopeo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where something is missing, 2 for input that is refused."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (Error, ImageError) as problem:
        print(problem, file=sys.stderr)
        return BAD_INPUT
    except AnsibleError as problem:
        print(f"found:  {problem}\nneeded: an inventory that Ansible can read\nremedy: correct it", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen-mirror", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="name everything that the site needs, and where it comes from")
    _describe_site(listing)
    listing.add_argument("--format", choices=tuple(FORMATS), default="table", help="default: table")
    listing.set_defaults(run=_list)
    checking = commands.add_parser(
        "check", help="ask the site's mirror, and nothing else, for everything that is listed"
    )
    _describe_site(checking)
    checking.add_argument(
        "--status", action="append", default=[], type=_status, metavar="SUITE=FILE",
        help="/var/lib/dpkg/status of a host as it comes, to look for dependencies too; once for each suite",
    )  # fmt: skip
    checking.set_defaults(run=_check)
    return parser


def _status(text: str) -> tuple[str, Path]:
    suite, _, file = text.partition("=")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"found no file {file!r}, needed SUITE=FILE; remedy: copy it from a host")
    return suite, Path(file)


def _describe_site(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path, metavar="SITE", help="folder of the site's inventory")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be repeated")
    parser.add_argument(
        "--stack", type=Path, metavar="FILE", help="the stack's settings (default: pulumi/Pulumi.<name of SITE>.yaml)"
    )
    parser.add_argument("--variant", default="cuda", help="variant of the runtime image: cuda (default) or cpu")
    parser.add_argument("--versions", type=Path, metavar="FILE", help="another versions.yml, as that of a release")
    parser.add_argument(
        "--extra-vars", type=Path, action="append", default=[], metavar="FILE", help="variables over the inventory's"
    )
    parser.add_argument(
        "--catalog", type=Path, action="append", metavar="FILE", help="catalogue in place of images/catalog.yml"
    )
    parser.add_argument("--vault-password-file", action="append", default=[], metavar="FILE")
    parser.add_argument("--ask-vault-pass", action="store_true", help="ask for the vault's password")


def _site(options: argparse.Namespace) -> Site:
    return Site(
        options.site,
        stack=options.stack,
        extra_vars=options.extra_vars,
        versions=options.versions,
        vault_password_files=options.vault_password_file,
        ask_vault_password=options.ask_vault_pass,
    )


def _items(site: Site, options: argparse.Namespace) -> list[Item]:
    return needs.items(
        site,
        kinds=options.kind or KINDS,
        variant=options.variant,
        catalogs=options.catalog or [CATALOG],
        versions=options.versions or VERSIONS,
    )


def _list(options: argparse.Namespace) -> int:
    site = _site(options)
    items = _items(site, options)
    print(FORMATS[options.format](items))
    if not site.stack:
        print(
            f"found: no {site.stack_file}; needed: the stack's settings, to know its images and their digests; "
            "remedy: every image is listed that a stack may name",
            file=sys.stderr,
        )
    return 0


def _check(options: argparse.Namespace) -> int:
    site = _site(options)
    items = _items(site, options)
    statuses = dict(options.status)
    faults = check.missing(site, items, statuses)
    for fault in faults:
        print(f"{fault.subject}\n" + textwrap.indent(message(fault.found, fault.needed, fault.remedy), "  "))
    lacking = [suite for suite in {item.group for item in items if item.kind == "apt"} if suite not in statuses]
    if lacking:
        print(f"dependencies were not looked for in {', '.join(sorted(lacking))}: see --status", file=sys.stderr)
    print(f"missing: {len(faults)}; asked for: {len(items)}")
    return MISSING if faults else 0
