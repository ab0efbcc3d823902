"""The commands about a carried folder alone, which need no inventory."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from qwen_runtime.errors import Fault, message

from .carry import bundle, difference

FAULTY = 1


def pack(options: argparse.Namespace) -> int:
    new = difference.plan(options.folder, options.since)
    whole = bundle.read(options.folder).size_bytes
    size = sum(file.size for file in new)
    print(f"new: {len(new)} files, {size / 1e9:.3f} GB, {size / max(whole, 1):.1%} of the whole", flush=True)
    difference.write(options.folder, new, options.to, options.largest_bytes)
    return 0


def sign(options: argparse.Namespace) -> int:
    bundle.sign(options.folder, options.key)
    print(f"signed {options.folder / bundle.NAME}")
    return 0


def verify(options: argparse.Namespace) -> int:
    faults = list(bundle.verify(options.folder, options.key))
    tell(faults)
    files = bundle.read(options.folder).files
    print(f"faults: {len(faults)}; files: {len(files)}")
    return FAULTY if faults else 0


def tell(faults: Sequence[Fault]) -> None:
    for fault in faults:
        print(f"{fault.subject}\n" + textwrap.indent(message(fault.found, fault.needed, fault.remedy), "  "))
