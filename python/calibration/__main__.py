"""Prints the fitted constants or, with the names of files, writes the tables in them anew."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from .fit import fit, likely
from .tables import written_anew

for argument in sys.argv[1:]:
    path = Path(argument)
    path.write_text(written_anew(path.read_text()))
if not sys.argv[1:]:
    efficiency = fit()
    for constant, value in asdict(efficiency).items():
        print(f"{constant}={value:.3g}")
    print({name: (round(low, 2), round(high, 2)) for name, (low, high) in likely(efficiency).items()})
