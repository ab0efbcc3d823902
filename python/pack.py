"""Packs the package into one file that needs nothing but a python3: `python3 python/pack.py`.

The result, python/dist/qwen-runtime, is the same for the same sources, on any machine and at any time.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
RESULT = PACKAGE / "dist/qwen-runtime"
INTERPRETER = b"#!/usr/bin/python3\n"
MAIN = "from qwen_runtime import __main__\n"
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def pack() -> bytes:
    """The executable: an interpreter line and a zip archive of the sources, which Python runs directly."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        sources = PACKAGE / "src"
        files = (*sources.rglob("*.py"), *sources.rglob("static/*"))
        texts = {path.relative_to(sources).as_posix(): path.read_text() for path in files}
        for name, text in sorted({**texts, "__main__.py": MAIN}.items()):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, text)
    return INTERPRETER + archive.getvalue()


def main() -> None:
    RESULT.parent.mkdir(exist_ok=True)
    partial = RESULT.with_name(f"{RESULT.name}.{os.getpid()}")
    partial.write_bytes(pack())
    partial.chmod(0o755)
    partial.replace(RESULT)
    print(RESULT)


if __name__ == "__main__":
    main()
