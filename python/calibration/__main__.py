"""Prints the fitted constants or, with the names of files, writes the tables in them anew."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from .fit import fit
from .tables import written_anew

for argument in sys.argv[1:]:
    path = Path(argument)
    path.write_text(written_anew(path.read_text()))
if not sys.argv[1:]:
    for constant, value in asdict(fit()).items():
        print(f"{constant}={value:.3g}")
