"""A stand-in for Prometheus: the samples of GPUs' series, and a clock that a test sets."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.web import Quiet, served

XID = "serving:gpu_last_xid:code"


@dataclass
class Measured:
    """Samples by name, node and GPU."""

    now_s: float = 1_000_000.0
    samples: dict[tuple[str, str, str], list[tuple[float, float]]] = field(default_factory=dict)
    garbage: bool = False
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def saw(self, name: str, *ages_and_values: tuple[float, float], node: str = "gpu1", gpu: str = "0") -> None:
        """Values of a series by their age in seconds, oldest first."""
        self.samples[name, node, gpu] = [(self.now_s - age_s, value) for age_s, value in ages_and_values]

    def answer(self, expression: str) -> Any:
        if self.garbage:
            return {"status": "success"}
        if expression == "time()":
            return {"data": {"resultType": "scalar", "result": [self.now_s, str(self.now_s)]}}
        asked = re.fullmatch(r'\{__name__=~"(.*)"\}\[(\d+)s\]', expression)
        assert asked, expression
        oldest_s = self.now_s - int(asked[2])
        result = [
            {
                "metric": {"__name__": name, "node": node, "gpu": gpu},
                "values": [[at_s, str(value)] for at_s, value in samples if at_s >= oldest_s],
            }
            for (name, node, gpu), samples in self.samples.items()
            if name in asked[1].split("|") and any(at_s >= oldest_s for at_s, _ in samples)
        ]
        return {"data": {"resultType": "matrix", "result": result}}


@contextmanager
def measured() -> Iterator[Measured]:
    known = Measured()

    class Handler(Quiet):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            data = json.dumps(known.answer(query["query"][0])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with served(Handler) as port:
        known.port = port
        yield known
