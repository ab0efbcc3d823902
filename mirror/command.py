"""The command `qwen-mirror`: what a site's mirror must hold, and whether it does."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ansible.errors import AnsibleError
from qwen_runtime.errors import Error, Fault, UsageError, message

from images.catalog import CATALOG, VERSIONS, ImageError

from .bring.folder import bring
from .carry import bundle, difference
from .check.items import missing
from .contents import documents
from .fill.folder import KINDS as FETCHED
from .fill.folder import fill
from .item import KINDS, Item
from .needs import formats, spdx
from .needs.items import needed
from .site import Site
from .upstream import TABLE, Upstream
from .vouch import images as vouched

FAULTY, BAD_INPUT = 1, 2
FORMATS = {"table": formats.table, "json": formats.as_json, "skopeo": formats.skopeo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where something is missing, wrong or cannot be fetched, 2 for input that is refused."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except Error as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code
    except ImageError as problem:
        print(problem, file=sys.stderr)
        return BAD_INPUT
    except AnsibleError as problem:
        print(message(str(problem), "an inventory that Ansible can read", "Correct it."), file=sys.stderr)
        return BAD_INPUT
    except OSError as problem:
        remedy = "Make room or mend what it names, and run it again: it goes on."
        print(message(str(problem), "a disk that takes and gives all files", remedy), file=sys.stderr)
        return FAULTY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen-mirror", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="name everything that the site needs, and where it comes from")
    _describe_site(listing)
    listing.add_argument("--format", choices=(*FORMATS, "spdx"), default="table", help="default: table")
    listing.set_defaults(run=_list)
    filling = commands.add_parser(
        "fill", help="fetch it into a folder that is carried to the site; a further run goes on"
    )
    _describe_site(filling)
    _describe_statuses(filling)
    filling.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to fill")
    filling.set_defaults(run=_fill)
    packing = commands.add_parser(
        "pack", help="put apart what a site does not have yet, by the list of an earlier folder"
    )
    packing.add_argument(
        "--since", type=Path, required=True, metavar="OLD", help="the earlier folder, or its bundle.json"
    )
    packing.add_argument("--to", type=Path, required=True, metavar="NEW", help="folder for what is new")
    packing.set_defaults(run=_pack)
    signing = commands.add_parser("sign", help="sign the list of a filled folder")
    signing.add_argument("--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key, as PEM")
    signing.set_defaults(run=_sign)
    verifying = commands.add_parser("verify", help="compare a folder with its signed list; needs no network")
    verifying.add_argument("--key", type=Path, required=True, metavar="FILE", help="public Ed25519 key, as PEM")
    verifying.set_defaults(run=_verify)
    importing = commands.add_parser("import", help="verify a folder, and bring what is new into the site's mirror")
    _describe_site(importing)
    importing.add_argument("--key", type=Path, required=True, metavar="FILE", help="public Ed25519 key, as PEM")
    importing.add_argument("--to", type=Path, required=True, metavar="ROOT", help="folder that the web server serves")
    importing.add_argument("--apt-key", required=True, metavar="NAME", help="gpg's key that signs the repository")
    importing.set_defaults(run=_import)
    for parser_of_folder in (packing, signing, verifying, importing):
        parser_of_folder.add_argument("folder", type=Path, metavar="DIR", help="folder that was filled")
    vouching = commands.add_parser(
        "vouch",
        help="sign a list of the site's images by the digests that its registry has; a stack admits these",
    )
    _describe_site(vouching)
    vouching.add_argument("--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key, as PEM")
    vouching.add_argument("--to", type=Path, required=True, metavar="FILE", help="the list; FILE.sig is its signature")
    vouching.add_argument(
        "--keep", type=Path, metavar="OLD", help="an earlier list whose images stay admitted, for the way back"
    )
    vouching.set_defaults(run=_vouch)
    contents = commands.add_parser("sbom", help="write an SPDX document of the packages in each image of the registry")
    _describe_site(contents)
    contents.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for the documents")
    contents.add_argument("--image", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    contents.set_defaults(run=_sbom)
    checking = commands.add_parser(
        "check", help="ask the site's mirror, and nothing else, for everything that is listed"
    )
    _describe_site(checking)
    _describe_statuses(checking)
    checking.set_defaults(run=_check)
    return parser


def _describe_statuses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--status", action="append", default=[], type=_status, metavar="SUITE=FILE",
        help="/var/lib/dpkg/status of a host as it comes, for dependencies that it has; once for each suite",
    )  # fmt: skip


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
    parser.add_argument(
        "--from", action="append", default=[], dest="origin", metavar="NAME",
        help="of packages, only those from this repository of the table of addresses; may be repeated",
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
    upstream = _upstream(options)
    items = needed(
        site,
        kinds=options.kind or KINDS,
        variant=options.variant,
        catalogs=options.catalog or [CATALOG],
        upstream=upstream,
    )
    return [item for item in items if item.kind != "apt" or _is_from(item, options.origin, upstream)]


def _is_from(item: Item, origins: Sequence[str], upstream: Upstream) -> bool:
    """Whether a package comes from one of these repositories; from any if none is named. Raises UsageError."""
    urls = {repository.name: repository.url for repository in upstream.repositories()}
    if unknown := set(origins) - urls.keys():
        raise UsageError(f"--from {', '.join(sorted(unknown))}", f"of {', '.join(urls)}", "Correct --from.")
    return not origins or item.source.split()[0] in {urls[origin] for origin in origins}


def _upstream(options: argparse.Namespace) -> Upstream:
    return Upstream(options.versions or VERSIONS, options.upstream or TABLE)


def _list(options: argparse.Namespace) -> int:
    site = _site(options)
    items = _items(site, options)
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
    site = _site(options)
    items = _items(site, options)
    statuses = dict(options.status)
    faults = missing(site, items, statuses)
    _show(faults)
    lacking = [suite for suite in {item.group for item in items if item.kind == "apt"} if suite not in statuses]
    if lacking:
        print(f"dependencies were not looked for in {', '.join(sorted(lacking))}: see --status", file=sys.stderr)
    print(f"missing: {len(faults)}; asked for: {len(items)}")
    return FAULTY if faults else 0


def _fill(options: argparse.Namespace) -> int:
    site = _site(options)
    kinds = [kind for kind in options.kind or FETCHED if kind in FETCHED]
    options.kind = kinds
    fill(
        _items(site, options),
        site.value("site_registry"),
        options.out,
        _upstream(options),
        dict(options.status),
    )
    filled = bundle.read(options.out)
    print(f"filled {options.out}: {len(filled.files)} files, {filled.size_bytes / 1e9:.1f} GB")
    return 0


def _pack(options: argparse.Namespace) -> int:
    new = difference.plan(options.folder, options.since)
    whole = bundle.read(options.folder).size_bytes
    size = sum(file.size for file in new)
    print(f"new: {len(new)} files, {size / 1e9:.3f} GB, {size / max(whole, 1):.1%} of the whole", flush=True)
    difference.write(options.folder, new, options.to)
    return 0


def _sign(options: argparse.Namespace) -> int:
    bundle.sign(options.folder, options.key)
    print(f"signed {options.folder / bundle.NAME}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    faults = list(bundle.verify(options.folder, options.key))
    _show(faults)
    files = bundle.read(options.folder).files
    print(f"faults: {len(faults)}; files: {len(files)}")
    return FAULTY if faults else 0


def _import(options: argparse.Namespace) -> int:
    site = _site(options)
    items = _items(site, options)
    if _verify(options):
        return FAULTY
    new = bring(options.folder, site.value("site_registry"), items, options.to, options.apt_key, site.authority)
    images = [name for name in new if ":" in name]
    print(f"new files: {len(new) - len(images)}; images in the registry: {len(images)}")
    print(f"next: qwen-mirror check {options.site}")
    return 0


def _vouch(options: argparse.Namespace) -> int:
    site = _site(options)
    options.kind = ["image"]
    entries, faults = vouched.digests(site, _items(site, options))
    _show(faults)
    if faults:
        print(f"nothing was written: {len(faults)} images are not in the registry")
        return FAULTY
    kept = vouched.read(options.keep) if options.keep else []
    entries += [entry for entry in kept if entry not in entries]
    vouched.write(options.to, site.value("site_registry"), entries, options.key)
    print(f"signed {options.to}: {len(entries)} images")
    return 0


def _sbom(options: argparse.Namespace) -> int:
    site = _site(options)
    options.kind = ["image"]
    items = {item.name: item for item in _items(site, options)}
    if unknown := set(options.image) - items.keys():
        raise UsageError(f"--image {', '.join(sorted(unknown))}", f"of {', '.join(items)}", "Correct --image.")
    written = documents.write(site, [items[name] for name in options.image or items], options.to)
    print(f"wrote {len(written)} documents to {options.to}")
    return 0


def _show(faults: Sequence[Fault]) -> None:
    for fault in faults:
        print(f"{fault.subject}\n" + textwrap.indent(message(fault.found, fault.needed, fault.remedy), "  "))
