"""The commands about a site, which read its inventory; the program loads them, and Ansible, only for these."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from ansible.errors import AnsibleError
from qwen_runtime.errors import UsageError

from images.catalog import CATALOG, VERSIONS, ImageError

from .bring.folder import bring, read_of
from .carry import bundle
from .check.items import missing
from .contents import documents
from .fill.folder import KINDS as FETCHED
from .fill.folder import fill
from .folder_commands import FAULTY, tell, verify
from .item import KINDS, Item
from .needs import formats, spdx
from .needs.items import needed
from .site import Site
from .upstream import TABLE, Upstream
from .vouch import images as vouched

FORMATS = {"table": formats.table, "json": formats.as_json, "skopeo": formats.skopeo}


def run(command: str, options: argparse.Namespace) -> int:
    """Exit code of a command about a site. Raises Error, also for what Ansible or a catalogue of images refuses."""
    try:
        return COMMANDS[command](options)
    except ImageError as problem:
        raise UsageError(problem.found, problem.needed, problem.remedy) from problem
    except AnsibleError as problem:
        raise UsageError(str(problem), "an inventory that Ansible can read", "Correct it.") from problem


def _list(options: argparse.Namespace) -> int:
    site = read_site(options)
    items = listed(site, options)
    if options.format == "spdx":
        print(spdx.document(items, f"mirror of {options.site.resolve().name}"))
    else:
        print(FORMATS[options.format](items))
    if not site.stack:
        print(
            f"found: no {site.stack_file}; needed: the stack's settings, to know its images and their digests; "
            "remedy: every image is listed that a stack may name",
            file=sys.stderr,
        )
    return 0


def _check(options: argparse.Namespace) -> int:
    site = read_site(options)
    items = listed(site, options)
    statuses = dict(options.status)
    faults = missing(site, items, statuses)
    tell(faults)
    lacking = [suite for suite in {item.group for item in items if item.kind == "apt"} if suite not in statuses]
    if lacking:
        print(f"dependencies were not looked for in {', '.join(sorted(lacking))}: see --status", file=sys.stderr)
    print(f"missing: {len(faults)}; asked for: {len(items)}")
    return FAULTY if faults else 0


def _fill(options: argparse.Namespace) -> int:
    site = read_site(options)
    kinds = [kind for kind in options.kind or FETCHED if kind in FETCHED]
    options.kind = kinds
    fill(
        listed(site, options),
        str(site.registry),
        options.out,
        addresses(options),
        dict(options.status),
    )
    filled = bundle.read(options.out)
    print(f"filled {options.out}: {len(filled.files)} files, {filled.size_bytes / 1e9:.1f} GB")
    return 0


def _import(options: argparse.Namespace) -> int:
    site = read_site(options)
    items = listed(site, options)
    registry = str(site.registry)
    read_of(registry, options.folder)  # before hundreds of gigabytes are verified
    if verify(options):
        print("nothing was changed")
        return FAULTY
    new = bring(options.folder, registry, items, options.to, options.apt_key, site.authority)
    images = [name for name in new if ":" in name]
    print(f"new files: {len(new) - len(images)}; images in the registry: {len(images)}")
    print(f"next: qwen-mirror check {options.site}")
    return 0


def _vouch(options: argparse.Namespace) -> int:
    site = read_site(options)
    options.kind = ["image"]
    items = listed(site, options)
    entries, faults = vouched.digests(site, items)
    tell(faults)
    if faults:
        print(f"nothing was written: {len(faults)} images are not in the registry")
        return FAULTY
    if options.provenance:
        entries, faults = vouched.with_provenance(items, entries, options.provenance)
        tell(faults)
        if faults:
            print(f"nothing was written: {len(faults)} images have no statement of how they were built")
            return FAULTY
    kept = vouched.read(options.keep) if options.keep else []
    known = {(entry["name"], entry["digest"]) for entry in entries}
    entries += [entry for entry in kept if (entry["name"], entry["digest"]) not in known]
    vouched.write(options.to, str(site.registry), entries, options.key)
    print(f"signed {options.to}: {len(entries)} images")
    return 0


def _sbom(options: argparse.Namespace) -> int:
    site = read_site(options)
    options.kind = ["image"]
    items = {item.name: item for item in listed(site, options)}
    if unknown := set(options.image) - items.keys():
        raise UsageError(f"--image {', '.join(sorted(unknown))}", f"of {', '.join(items)}", "Correct --image.")
    written = documents.write(site, [items[name] for name in options.image or items], options.to)
    print(f"wrote {len(written)} documents to {options.to}")
    return 0


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


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "check": _check,
    "fill": _fill,
    "import": _import,
    "vouch": _vouch,
    "sbom": _sbom,
}
