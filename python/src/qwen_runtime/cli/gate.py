"""`qwen-runtime gate`: may this candidate be promoted?"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from qwen_runtime.cli.common import Commands, Options, above_zero, add, positive
from qwen_runtime.cli.compare import ACROSS
from qwen_runtime.errors import PromotionError, UsageError
from qwen_runtime.extras import EVALUATION, require


def add_to(commands: Commands) -> None:
    gate = add(commands, "gate", run, "refuse a promotion that is not shown to be safe, and log the decision")
    gate.add_argument(
        "--baseline", type=Path, required=True, metavar="FILE", help="`evaluate humaneval` of what serves"
    )
    gate.add_argument("--candidate", type=Path, required=True, metavar="FILE", help="the same of the candidate")
    gate.add_argument("--load", type=Path, required=True, metavar="FILE", help="`bench` of the candidate")
    gate.add_argument("--tools", type=Path, metavar="FILE", help="`evaluate tools` of the candidate")
    gate.add_argument(
        "--history", type=Path, required=True, metavar="FILE", help="where decisions and results are kept"
    )
    gate.add_argument("--keep", type=above_zero, default=0.95, metavar="F", help="default: %(default)s")
    gate.add_argument(
        "--attainment", type=above_zero, default=0.95, metavar="F", help="of the SLO; default: %(default)s"
    )
    gate.add_argument("--fresh-days", type=positive, default=14, metavar="N", help="default: %(default)s")
    gate.add_argument("--across", nargs="+", choices=ACROSS, default=[], metavar="WHAT", help="as in `compare`")
    gate.add_argument("--override", metavar="NAME", help="the person who promotes it all the same")
    gate.add_argument("--because", metavar="TEXT", help="the reason, which is logged")


def run(options: Options) -> None:
    require(EVALUATION, "numpy", "scipy")
    from qwen_runtime.compare import results
    from qwen_runtime.gate.decision import Conditions, Evidence, faults
    from qwen_runtime.gate.history import History, digest

    if (options.override is None) != (options.because is None):
        raise UsageError("--override or --because alone", "the person and the reason", "Give both.")
    evidence = Evidence(
        baseline=results.read(options.baseline, "humaneval"),
        candidate=results.read(options.candidate, "humaneval"),
        load=results.read(options.load, "bench"),
        tools=results.read(options.tools, "tools") if options.tools else None,
    )
    conditions = Conditions(options.keep, options.attainment, timedelta(days=options.fresh_days), options.across)
    found = [str(fault) for fault in faults(evidence, conditions)]
    verdict = "promoted" if not found else "overridden" if options.override else "refused"
    history = History(options.history)
    try:
        files = {
            name: _document(path)
            for name in ("baseline", "candidate", "load", "tools")
            if (path := getattr(options, name))
        }
        for document in files.values():
            history.add(document)
        by, because = (options.override, options.because) if verdict == "overridden" else (None, None)
        history.decide(verdict, found, {name: digest(document) for name, document in files.items()}, by, because)
    finally:
        history.close()
    if verdict == "refused":
        raise PromotionError(
            "\n        ".join([f"{len(found)} conditions that are not met", *found]),
            f"a candidate that keeps {options.keep} of the baseline and its SLO, measured freshly",
            "Meet them, or promote it all the same: --override NAME --because TEXT, which is logged.",
        )
    print(f"{verdict}; logged in {options.history}")
    for fault in found:
        print(f"  in spite of {fault}")


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document
