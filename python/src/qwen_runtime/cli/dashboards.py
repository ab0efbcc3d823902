"""`qwen-runtime dashboards`: the stack's dashboards on a read-only page."""

from __future__ import annotations

from pathlib import Path

from qwen_runtime.cli.common import Commands, Options, add, add_prometheus, port


def add_to(commands: Commands) -> None:
    dashboards = add(
        commands, "dashboards", run, "the stack's dashboards on a read-only page, for sites without Grafana"
    )
    add_prometheus(dashboards)
    dashboards.add_argument("--pages", type=Path, required=True, metavar="FILE", help="pages, as the stack writes them")
    dashboards.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    dashboards.add_argument("--port", type=port, default=8093, help="default: %(default)s")


def run(options: Options) -> None:
    from qwen_runtime.watch import pages, prometheus, server

    asked = prometheus.Prometheus(options.prometheus, prometheus.login(options.login_file))
    server.run(pages.read(options.pages), asked, options.host, options.port)
