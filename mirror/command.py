"""The command `qwen-mirror`: what a site's mirror must hold, and whether it does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from qwen_runtime.errors import Error, message

from . import folder_commands, site_options
from .carry import difference
from .folder_commands import FAULTY

FORMATS = ("table", "json", "skopeo", "spdx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where something is missing, wrong or cannot be fetched, 2 for input that is refused."""
    options = _parser().parse_args(arguments)
    try:
        if "run" in options:
            return int(options.run(options))
        from . import site_commands  # Ansible takes longer to load than a small folder to verify

        return site_commands.run(options.command, options)
    except Error as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code
    except OSError as problem:
        remedy = "Make room or mend what it names, and run it again: it goes on."
        print(message(str(problem), "a disk that takes and gives all files", remedy), file=sys.stderr)
        return FAULTY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qwen-mirror", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    listing = commands.add_parser("list", help="name everything that the site needs, and where it comes from")
    site_options.describe(listing)
    listing.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    filling = commands.add_parser(
        "fill", help="fetch it into a folder that is carried to the site; a further run goes on"
    )
    site_options.describe(filling)
    site_options.describe_statuses(filling)
    filling.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to fill")
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
    packing.set_defaults(run=folder_commands.pack)
    signing = commands.add_parser("sign", help="sign the list of a filled folder")
    signing.add_argument("--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key, as PEM")
    signing.set_defaults(run=folder_commands.sign)
    verifying = commands.add_parser("verify", help="compare a folder with its signed list; needs no network")
    verifying.add_argument("--key", type=Path, required=True, metavar="FILE", help="public Ed25519 key, as PEM")
    verifying.set_defaults(run=folder_commands.verify)
    importing = commands.add_parser("import", help="verify a folder, and bring what is new into the site's mirror")
    site_options.describe(importing)
    importing.add_argument("--key", type=Path, required=True, metavar="FILE", help="public Ed25519 key, as PEM")
    importing.add_argument("--to", type=Path, required=True, metavar="ROOT", help="folder that the web server serves")
    importing.add_argument("--apt-key", required=True, metavar="NAME", help="gpg's key that signs the repository")
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
    contents = commands.add_parser("sbom", help="write an SPDX document of the packages in each image of the registry")
    site_options.describe(contents)
    contents.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for the documents")
    contents.add_argument("--image", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    checking = commands.add_parser(
        "check", help="ask the site's mirror, and nothing else, for everything that is listed"
    )
    site_options.describe(checking)
    site_options.describe_statuses(checking)
    return parser


def _gigabytes(text: str) -> int:
    size_bytes = round(float(text) * 1e9)
    if size_bytes < 1:
        raise argparse.ArgumentTypeError(f"found {text}, needed a size above 0; remedy: leave it out for 4 GB")
    return size_bytes
