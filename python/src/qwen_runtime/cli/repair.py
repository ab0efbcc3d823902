"""`qwen-runtime repair`: what is done about faults of GPUs."""

from __future__ import annotations

from pathlib import Path

from qwen_runtime.cli.common import Commands, Options, above_zero, add, port


def add_to(commands: Commands) -> None:
    actions = commands.add_parser("repair", help="what is done about faults of GPUs").add_subparsers(
        required=True, metavar="ACTION"
    )
    watch = add(actions, "watch", run_watch, "watch the GPU hosts of a cluster, and tell what the table says")
    watch.add_argument("--file", type=Path, required=True, metavar="FILE", help="settings, as the stack writes them")
    watch.add_argument(
        "--api", metavar="URL", help="API without a login, as of `kubectl proxy` (default: the pod's own)"
    )
    watch.add_argument("--host", default="0.0.0.0", help="address for metrics (default: %(default)s)")
    watch.add_argument("--port", type=port, default=8092, help="port for metrics (default: %(default)s)")
    test = add(actions, "test", run_test, "load every GPU that this container holds, and check what it computes")
    test.add_argument("--seconds", type=above_zero, default=120.0, metavar="S", help="default: %(default)s")
    add(actions, "table", run_table, "print the table of faults in Markdown")


def run_watch(options: Options) -> None:
    from qwen_runtime.repair import server, settings
    from qwen_runtime.repair.controller import Controller
    from qwen_runtime.repair.web import IN_CLUSTER, Api, Prometheus

    given = settings.read(options.file)
    controller = Controller(given, Api(options.api or IN_CLUSTER), Prometheus(given.prometheus))
    server.run(controller, options.host, options.port)


def run_test(options: Options) -> None:
    from qwen_runtime.repair import burn

    found = burn.devices()
    print(f"{len(found)} GPUs: {burn.load(found, options.seconds)} products each, every bit as expected")


def run_table(_: Options) -> None:
    from qwen_runtime.repair import table

    print(f"Version {table.VERSION}\n\n{table.text()}")
