"""`qwen-runtime limits`: the process that counts what the keys of all gateways use."""

from __future__ import annotations

from pathlib import Path

from qwen_runtime.cli.common import Commands, Options, add, port


def add_to(commands: Commands) -> None:
    limits = add(commands, "limits", run, "count what the clients' keys use, for all gateways")
    limits.add_argument(
        "--file", type=Path, required=True, metavar="FILE", help="the limits; read again when it changes"
    )
    limits.add_argument("--host", default="0.0.0.0", help="address on which gateways ask (default: %(default)s)")
    limits.add_argument("--port", type=port, default=8090, help="port for questions and metrics (default: %(default)s)")
    limits.add_argument("--ends-port", type=port, default=8091, help="port for ended requests (default: %(default)s)")


def run(options: Options) -> None:
    from qwen_runtime.limits import server

    server.run(options.file, options.host, options.port, options.ends_port)
