"""A program for the serving environment's Python: does vLLM send its spans as the stack asks it to?

    python trace_questions.py QUESTIONS

QUESTIONS is JSON: {"flag": ..., "path": ..., "environment": {...}, "traceparent": ...}. The answer,
the last line of stdout, has what vLLM's parser and check read, and the paths and bodies (hexadecimal) of what it sent.
Needs nothing of this repository, so that it also runs inside a container.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from typing import Any


def main(asked: dict[str, Any]) -> dict[str, Any]:
    os.environ.update({"VLLM_TARGET_DEVICE": "cpu", "VLLM_LOGGING_LEVEL": "ERROR", **asked["environment"]})
    received: list[tuple[str, str]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).hex()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing is logged."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}{asked['path']}"

    from opentelemetry import trace
    from vllm.config import ObservabilityConfig
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.tracing import extract_trace_context, init_tracer
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model", "any", asked["flag"], endpoint])
    read = ObservabilityConfig(otlp_traces_endpoint=parsed.otlp_traces_endpoint).otlp_traces_endpoint
    tracer: Any = init_tracer("vllm.llm_engine", endpoint)
    context = extract_trace_context({"traceparent": asked["traceparent"]})
    tracer.start_span("llm_request", context=context).end()
    provider: Any = trace.get_tracer_provider()
    provider.force_flush()
    return {"read": read == endpoint, "received": received}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
