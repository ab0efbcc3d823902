"""Engine toy: one more engine, known to tests alone, in one module as the registry asks of every engine.

Run as a program it is the engine's server, with metrics whose names no other engine has.
`python -m tests.fakes.toy_engine COMMAND ...` is `qwen-runtime COMMAND ...` with this engine in its registry.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qwen_runtime.cli import main
from qwen_runtime.engine import counters, registry
from qwen_runtime.engine.record import Decision, Engine, PlannedEngine
from qwen_runtime.engine.series import Exported
from qwen_runtime.engine.spec import EngineSpec, Progress
from qwen_runtime.sizing.gpus import Gpu
from qwen_runtime.sizing.layout import Layout
from qwen_runtime.sizing.shape import Shape

NAME = "toy"
TRACES_FLAG = None
PROGRAM = "--toy-server"
EXPORTED = Exported(
    names={
        "requests_running:requests": "toy_busy",
        "requests_waiting:requests": "toy_queue",
        "step_tokens:tokens": "toy_work",
    },
    finished="toy_done_total",
    edges={},
)


def forbidden(shape: Shape, gpu: Gpu, layout: Layout) -> str | None:
    return "toys have no stages" if layout.pipeline_parallel > 1 else None


def planned_arguments(decision: Decision) -> list[str]:
    return ["--parts", str(decision.layout.gpus_per_replica)]


PLANNED = PlannedEngine(
    reason="asked for by a test",
    forbidden=forbidden,
    arguments=planned_arguments,
    environment=lambda decision: {"TOY_COLOUR": "red"},
    over_nodes=True,
    warning=lambda _: "a toy answers no question",
)


def check_installed() -> str:
    return "1.0"


def command(spec: EngineSpec) -> list[str]:
    model = ["--name", spec.served_model_name, "--port", str(spec.port)]
    return [sys.executable, "-m", __spec__.name, PROGRAM, *spec.planned, *model, *spec.extra]


def ranks(spec: EngineSpec) -> int:
    return 1


def parallel_sizes(spec: EngineSpec) -> tuple[int, ...]:
    return (_parse([*spec.planned, *spec.extra]).parts,)


def own_flags() -> frozenset[str]:
    return frozenset({"--name", "--port"})


def environment(base: Mapping[str, str]) -> dict[str, str]:
    return dict(base)


def read_progress(metrics: str) -> Progress:
    return counters.read(metrics, EXPORTED)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--name", default="")
    parser.add_argument("--port", type=int, default=0)
    return parser.parse_args(argv)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answers = {
            "/health": "",
            "/v1/models": json.dumps({"data": [{"id": self.server.name}]}),  # type: ignore[attr-defined]
            "/metrics": "toy_busy 0\ntoy_queue 0\ntoy_work_sum 0\n",
            "/argv": json.dumps(sys.argv[1:]),
        }
        body = answers[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _serve(argv: list[str]) -> None:
    options = _parse(argv)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), _Handler)
    server.name = options.name  # type: ignore[attr-defined]
    server.serve_forever()


if __name__ == "__main__":
    if PROGRAM in sys.argv:
        _serve([word for word in sys.argv[1:] if word != PROGRAM])
    else:
        from tests.fakes import toy_engine  # this file by its name: a module is the engine's server

        registry.ENGINES[NAME] = Engine(PLANNED, server=toy_engine, exported=EXPORTED)
        sys.exit(main())
