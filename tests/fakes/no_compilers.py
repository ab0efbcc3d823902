"""A PATH without compilers, like that of the runtime image, but with every other program of this machine."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

COMPILER = re.compile(r"(.+-)?(cc|c\+\+|c89|c99|cpp|gcc|g\+\+|clang|clang\+\+|clang-cpp|nvcc)(-[\d.]+)?")


@functools.cache
def path() -> str:
    """A folder of links, made once and removed at the end of the process."""
    folder = Path(tempfile.mkdtemp(prefix="qwen-no-compilers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for place in filter(os.path.isdir, os.environ["PATH"].split(os.pathsep)):
        for program in os.scandir(place):
            link = folder / program.name
            if not COMPILER.fullmatch(program.name) and not link.is_symlink():
                link.symlink_to(program.path)
    return str(folder)
