"""Options that name a site, and what of its list a command is about."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from qwen_runtime.errors import UsageError

from images.catalog import CATALOG, VERSIONS

from .item import KINDS, Item
from .needs.items import needed
from .site import Site
from .upstream import TABLE, Upstream


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


def read_site(options: argparse.Namespace) -> Site:
    """The site that the options name. Raises Error and AnsibleError."""
    return Site(
        options.site,
        stack=options.stack,
        extra_vars=options.extra_vars,
        versions=options.versions,
        vault_password_files=options.vault_password_file,
        ask_vault_password=options.ask_vault_pass,
    )


def listed(site: Site, options: argparse.Namespace) -> list[Item]:
    """Items that the site needs of the kinds, repositories and users in the options. Raises Error and AnsibleError."""
    upstream = addresses(options)
    items = needed(
        site,
        kinds=options.kind or KINDS,
        variant=options.variant,
        catalogs=options.catalog or [CATALOG],
        upstream=upstream,
    )
    found = [item for item in items if item.kind != "apt" or _is_from(item, options.origin, upstream)]
    return _of_users(found, options.users)


def _of_users(items: list[Item], wanted: Sequence[str]) -> list[Item]:
    """Items that one of these needs; all of them if none is named. Raises UsageError."""
    users = {user for item in items for user in item.used_by.split(", ")}
    if unknown := set(wanted) - users:
        raise UsageError(f"--for {', '.join(sorted(unknown))}", f"of {', '.join(sorted(users))}", "Correct --for.")
    return [item for item in items if not wanted or set(wanted) & set(item.used_by.split(", "))]


def _is_from(item: Item, origins: Sequence[str], upstream: Upstream) -> bool:
    """Whether a package comes from one of these repositories; from any if none is named. Raises UsageError."""
    urls = {repository.name: repository.url for repository in upstream.repositories()}
    if unknown := set(origins) - urls.keys():
        raise UsageError(f"--from {', '.join(sorted(unknown))}", f"of {', '.join(urls)}", "Correct --from.")
    return not origins or item.source.split()[0] in {urls[origin] for origin in origins}


def addresses(options: argparse.Namespace) -> Upstream:
    """The table of addresses, with the versions of the release that is meant."""
    return Upstream(options.versions or VERSIONS, options.upstream or TABLE)
