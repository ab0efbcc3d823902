"""Stand-ins for results of `qwen-runtime bench` and `evaluate` whose truth is known."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

SUBJECT = {"endpoint": "http://a/v1", "model": "m", "hardware": "8 x h100-80gb", "engine_version": "1"}


def written(path: Path, kind: str, days_old: float = 0, **changes: Any) -> str:
    ended = (datetime.now(timezone.utc) - timedelta(days=days_old)).isoformat(timespec="seconds")
    head = {"format": 1, "kind": kind, "started": ended, "ended": ended, "harness": {}, "subject": SUBJECT}
    path.write_text(json.dumps(head | changes))
    return str(path)


def humaneval(path: Path, lost: int = 0, unjudged: int = 0, days_old: float = 0, **changes: Any) -> str:
    requests = [
        {
            "item": f"HumanEval/{number}",
            "score": None if number < unjudged else float(number >= lost),
            "samples": [{"outcome": "answered", "finish_reason": "length" if number < unjudged else "stop"}],
        }
        for number in range(164)
    ]
    figures = {
        "samples": 164,
        "judged": 164 - unjudged,
        "pass_at": {"1": round(1 - lost / 164, 4)},
        "never_a_score": {"error": 0, "empty": 0, "length_cut": unjudged},
    }
    return written(path, "humaneval", days_old, load={}, figures=figures, requests=requests, **changes)


def bench(path: Path, attainment: float = 0.99, days_old: float = 0, **changes: Any) -> str:
    spread = {"p50": 0.1, "p99": 0.4}
    figures = {
        "slo_attainment": attainment,
        "output_tokens_per_s": 100.0,
        "output_tokens_per_s_per_gpu": None,
        "requests_per_s": 1.0,
        "first_token_from_schedule_s": spread,
        "inter_token_s": None,
        "end_to_end_from_schedule_s": spread,
    }
    requests = [{"item": "s0.0", "outcome": "answered", "good": True}]
    return written(path, "bench", days_old, load={}, slo={}, figures=figures, requests=requests, **changes)
