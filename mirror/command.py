"""The command `qwen-mirror`: what a site's mirror must hold, and whether it does."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ansible.errors import AnsibleError
from qwen_runtime.errors import Error, Fault, UsageError, message

from images.catalog import ImageError

from . import site_options
from .bring.folder import bring
from .carry import bundle, difference
from .check.items import missing
from .contents import documents
from .fill.folder import KINDS as FETCHED
from .fill.folder import fill
from .needs import formats, spdx
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
    site_options.describe(listing)
    listing.add_argument("--format", choices=(*FORMATS, "spdx"), default="table", help="default: table")
    listing.set_defaults(run=_list)
    filling = commands.add_parser(
        "fill", help="fetch it into a folder that is carried to the site; a further run goes on"
    )
    site_options.describe(filling)
    site_options.describe_statuses(filling)
    filling.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to fill")
    filling.set_defaults(run=_fill)
    packing = commands.add_parser(
        "pack", help="put on a medium what is carried, large files in parts; a further run goes on"
    )
    packing.add_argument(
        "--since", type=Path, metavar="OLD", help="only what an earlier folder, or its bundle.json, does not have"
    )
    packing.add_argument("--to", type=Path, required=True, metavar="NEW", help="folder on the medium")
    packing.add_argument(
        "--largest-gb", type=_gigabytes, default=difference.LARGEST_BYTES, metavar="GB", dest="largest_bytes",
        help="largest file that is not cut into parts (default: 4, which every file system takes)",
    )  # fmt: skip
    packing.set_defaults(run=_pack)
    signing = commands.add_parser("sign", help="sign the list of a filled folder")
    signing.add_argument("--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key, as PEM")
    signing.set_defaults(run=_sign)
    verifying = commands.add_parser("verify", help="compare a folder with its signed list; needs no network")
    verifying.add_argument("--key", type=Path, required=True, metavar="FILE", help="public Ed25519 key, as PEM")
    verifying.set_defaults(run=_verify)
    importing = commands.add_parser("import", help="verify a folder, and bring what is new into the site's mirror")
    site_options.describe(importing)
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
    site_options.describe(vouching)
    vouching.add_argument("--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key, as PEM")
    vouching.add_argument("--to", type=Path, required=True, metavar="FILE", help="the list; FILE.sig is its signature")
    vouching.add_argument(
        "--keep", type=Path, metavar="OLD", help="an earlier list whose images stay admitted, for the way back"
    )
    vouching.add_argument(
        "--provenance", type=Path, metavar="DIR",
        help="statements by images.build --provenance: each image that was built here needs its own",
    )  # fmt: skip
    vouching.set_defaults(run=_vouch)
    contents = commands.add_parser("sbom", help="write an SPDX document of the packages in each image of the registry")
    site_options.describe(contents)
    contents.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for the documents")
    contents.add_argument("--image", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    contents.set_defaults(run=_sbom)
    checking = commands.add_parser(
        "check", help="ask the site's mirror, and nothing else, for everything that is listed"
    )
    site_options.describe(checking)
    site_options.describe_statuses(checking)
    checking.set_defaults(run=_check)
    return parser


def _gigabytes(text: str) -> int:
    size_bytes = round(float(text) * 1e9)
    if size_bytes < 1:
        raise argparse.ArgumentTypeError(f"found {text}, needed a size above 0; remedy: leave it out for 4 GB")
    return size_bytes


def _list(options: argparse.Namespace) -> int:
    site = site_options.read_site(options)
    items = site_options.listed(site, options)
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
    site = site_options.read_site(options)
    items = site_options.listed(site, options)
    statuses = dict(options.status)
    faults = missing(site, items, statuses)
    _show(faults)
    lacking = [suite for suite in {item.group for item in items if item.kind == "apt"} if suite not in statuses]
    if lacking:
        print(f"dependencies were not looked for in {', '.join(sorted(lacking))}: see --status", file=sys.stderr)
    print(f"missing: {len(faults)}; asked for: {len(items)}")
    return FAULTY if faults else 0


def _fill(options: argparse.Namespace) -> int:
    site = site_options.read_site(options)
    kinds = [kind for kind in options.kind or FETCHED if kind in FETCHED]
    options.kind = kinds
    fill(
        site_options.listed(site, options),
        str(site.registry),
        options.out,
        site_options.addresses(options),
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
    difference.write(options.folder, new, options.to, options.largest_bytes)
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
    site = site_options.read_site(options)
    items = site_options.listed(site, options)
    if _verify(options):
        return FAULTY
    new = bring(options.folder, str(site.registry), items, options.to, options.apt_key, site.authority)
    images = [name for name in new if ":" in name]
    print(f"new files: {len(new) - len(images)}; images in the registry: {len(images)}")
    print(f"next: qwen-mirror check {options.site}")
    return 0


def _vouch(options: argparse.Namespace) -> int:
    site = site_options.read_site(options)
    options.kind = ["image"]
    items = site_options.listed(site, options)
    entries, faults = vouched.digests(site, items)
    _show(faults)
    if faults:
        print(f"nothing was written: {len(faults)} images are not in the registry")
        return FAULTY
    if options.provenance:
        entries, faults = vouched.with_provenance(items, entries, options.provenance)
        _show(faults)
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
    site = site_options.read_site(options)
    options.kind = ["image"]
    items = {item.name: item for item in site_options.listed(site, options)}
    if unknown := set(options.image) - items.keys():
        raise UsageError(f"--image {', '.join(sorted(unknown))}", f"of {', '.join(items)}", "Correct --image.")
    written = documents.write(site, [items[name] for name in options.image or items], options.to)
    print(f"wrote {len(written)} documents to {options.to}")
    return 0


def _show(faults: Sequence[Fault]) -> None:
    for fault in faults:
        print(f"{fault.subject}\n" + textwrap.indent(message(fault.found, fault.needed, fault.remedy), "  "))
