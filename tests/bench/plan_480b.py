"""Time of a process that imports the planner and plans the 480B, beside one that does nothing.

    python -m tests.bench.plan_480b

Both are started in turn, so that a busy machine slows both; their fastest starts are compared. Expected: the plan adds
less than 100 ms to a bare start. The last line is JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
EXPECTED_MS = 100.0
SOURCE = Path(__file__).parents[2] / "python/src"
WORK = (
    "from qwen_runtime.plan import make, plan;"
    "result = plan(make(model='Qwen3-Coder-480B-A35B-Instruct-FP8', gpu='h100-80gb', gpus_per_node=8));"
    "assert result.fits"
)
CODES = {
    "bare": "pass",
    "plan": WORK,
    "plan and its document": f"{WORK};from qwen_runtime.plan import build; build(result)",
    "import json, argparse, dataclasses": "import json, argparse, dataclasses",
}


def start_ms(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-S", "-c", code], check=True, env={"PYTHONPATH": str(SOURCE)})
    return (time.perf_counter() - started) * 1000


def main() -> None:
    print(f"expected: `plan` at most {EXPECTED_MS:.0f} ms above `bare`")
    for code in CODES.values():
        start_ms(code)  # fills the bytecode and file caches
    fastest = dict.fromkeys(CODES, float("inf"))
    for _ in range(ROUNDS):
        for name, code in CODES.items():
            fastest[name] = min(fastest[name], start_ms(code))
    for name, taken_ms in fastest.items():
        print(f"{name:36} {taken_ms:7.1f} ms   {taken_ms / fastest['bare']:5.2f} x bare")
    added_ms = fastest["plan"] - fastest["bare"]
    print(
        json.dumps(
            {
                "benchmark": "plan_480b",
                "bare_ms": round(fastest["bare"], 1),
                "plan_ms": round(fastest["plan"], 1),
                "added_ms": round(added_ms, 1),
                "ratio": round(fastest["plan"] / fastest["bare"], 2),
                "expected_added_ms": EXPECTED_MS,
                "met": added_ms < EXPECTED_MS,
                "rounds": ROUNDS,
                "python": sys.version.split()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
