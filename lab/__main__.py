"""The command line `python3 -m lab up | down | serve | chat | run | ...`; `make` and molecule call it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from lab.errors import LabError
from lab.machine import bootstrap, fitness, ownership, ports, registries
from lab.paths import CACHE, CONTROLLER_ENV, ENVOY_PROGRAM, REPO


def main() -> int:
    arguments = _parse()
    bootstrap.keep_bytecode()
    try:
        return int(arguments.do(arguments))
    except LabError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: `make up` goes on from here, `make down` removes what stands", file=sys.stderr)
        return 130


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="build the lab, or continue where an earlier run stopped")
    up.add_argument(
        "--model", default="smollm2", help="a model that the lab serves, by name or short name; %(default)s"
    )
    up.set_defaults(do=_up)
    down = commands.add_parser("down", help="remove what `up` made; caches stay")
    down.add_argument("--force", action="store_true", help="remove a lab of another clone, too")
    down.set_defaults(do=_down)
    commands.add_parser("status", help="hosts, nodes, pods, stack, endpoint and health").set_defaults(do=_status)
    commands.add_parser("clean-cache", help="remove the caches").set_defaults(do=_clean_cache)
    scratch = commands.add_parser("scratch", help="bare hosts beside the rack, to try a role on")
    scratch.add_argument(
        "--gpus",
        nargs="*",
        default=[],
        metavar="NAME[=MODEL]",
        help="hosts with GPUs; MODEL is h100 where it is left out",
    )
    scratch.set_defaults(do=_scratch)
    machines = commands.add_parser("vm", help="virtual machines beside the rack, to try a role on")
    machines.set_defaults(do=_vm)
    for hosts in (scratch, machines):
        hosts.add_argument("action", choices=["up", "down"])
        hosts.add_argument("names", nargs="+")
    drive = commands.add_parser("drive", help="pull a drive out of a virtual machine that runs, or put a new one in")
    drive.add_argument("action", choices=["pull", "insert"])
    drive.add_argument("name")
    drive.add_argument("slot", type=int)
    drive.set_defaults(do=_drive)
    serving = commands.add_parser("serving", help="install the serving environment on this machine, for contract tests")
    serving.set_defaults(do=_serving)
    clients = commands.add_parser("clients", help="install the clients that tests try at the gateway")
    clients.set_defaults(do=_clients)
    keda = commands.add_parser("keda", help="build KEDA and Kubernetes' programs, for tests of autoscaling")
    keda.set_defaults(do=_keda)
    dashboards = commands.add_parser("dashboards", help="the lab's dashboards in a browser")
    dashboards.add_argument("--pictures", type=Path, metavar="FOLDER", help="take a picture of each, and end")
    dashboards.set_defaults(do=_dashboards)
    logs = commands.add_parser("logs", help="build VictoriaLogs and its images for a lab that is up, for tests of logs")
    logs.set_defaults(do=_logs)
    serve = commands.add_parser("serve", help="the small model on this machine, without a cluster")
    serve.set_defaults(do=_serve)
    chat = commands.add_parser("chat", help="talk to the model that `serve` serves")
    chat.add_argument("question", nargs="?", default="", help="empty: a conversation")
    chat.set_defaults(do=_chat)
    for command in (serve, chat):
        command.add_argument("--port", type=int, default=ports.SERVE, help="default: %(default)s")
    run = commands.add_parser("run", help="run a program in the controller's environment")
    run.add_argument("argv", nargs=argparse.REMAINDER)
    run.set_defaults(do=_run)
    return parser.parse_args()


def _up(arguments: argparse.Namespace) -> int:
    if not _inside_environment():
        fitness.check(lab_is_up=ownership.owner() is not None)
        if not fitness.FILLED.exists():
            registries.check()
        bootstrap.packages()
        _enter_environment()
    from lab.commands import up

    return up.up(arguments.model)


def _down(arguments: argparse.Namespace) -> int:
    _enter_environment()
    from lab.commands import down

    return down.down(force=arguments.force)


def _status(_: argparse.Namespace) -> int:
    _enter_environment()
    from lab.commands import status

    return status.status()


def _scratch(arguments: argparse.Namespace) -> int:
    _enter_environment()
    from lab.commands import scratch

    if arguments.action == "down":
        return scratch.down(arguments.names)
    with_gpus = {name: model or "h100" for name, _, model in (gpu.partition("=") for gpu in arguments.gpus)}
    return scratch.up(arguments.names, with_gpus)


def _vm(arguments: argparse.Namespace) -> int:
    _enter_environment()
    from lab.commands import scratch

    machines = scratch.machines_down if arguments.action == "down" else scratch.machines_up
    return machines(arguments.names)


def _drive(arguments: argparse.Namespace) -> int:
    _enter_environment()
    from lab.hosts import drives, vm

    change = drives.pull if arguments.action == "pull" else drives.insert
    change(vm.MACHINES / arguments.name, arguments.slot)
    return 0


def _dashboards(arguments: argparse.Namespace) -> int:
    _enter_environment()
    from lab.commands import dashboards

    return dashboards.show(arguments.pictures)


def _serving(_: argparse.Namespace) -> int:
    if not _inside_environment():
        bootstrap.packages()
        _enter_environment()
    from lab.commands import serving

    print(serving.ensure() or f"{serving.ENVIRONMENT} is current")
    return 0


def _clients(_: argparse.Namespace) -> int:
    if not _inside_environment():
        bootstrap.packages()
        _enter_environment()
    from lab.commands import clients

    print(clients.ensure() or f"{clients.HOME} is current")
    return 0


def _keda(_: argparse.Namespace) -> int:
    if not _inside_environment():
        bootstrap.packages()
        _enter_environment()
    from lab.commands import keda

    print(keda.ensure() or "KEDA is built")
    return 0


def _logs(_: argparse.Namespace) -> int:
    _enter_environment()
    from lab.commands import logs

    print(logs.ensure() or "VictoriaLogs is built")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from lab.commands import serve

    serve.serve(arguments.port)


def _chat(arguments: argparse.Namespace) -> int:
    from lab.commands import serve

    serve.chat(arguments.port, arguments.question)


def _clean_cache(_: argparse.Namespace) -> int:
    held = ownership.lock()
    standing = ownership.owner()
    if standing:
        raise LabError(f"the lab of {standing} uses these caches", "no lab", f"run `make -C {standing} down` first")
    shutil.rmtree(CACHE, ignore_errors=True)
    held.close()
    print(f"{CACHE} is gone: the next `make up` is a cold one")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    bootstrap.packages()
    bootstrap.environment()
    bootstrap.envoy()
    os.environ["PATH"] = f"{CONTROLLER_ENV}/bin:{ENVOY_PROGRAM.parent}:{os.environ['PATH']}"
    os.execvp(arguments.argv[0], arguments.argv)


def _inside_environment() -> bool:
    return sys.prefix == str(CONTROLLER_ENV)


def _enter_environment() -> None:
    """Run the same command again under the environment's Python, which has YAML and the other packages."""
    if _inside_environment():
        return
    bootstrap.environment()
    os.chdir(REPO)
    python = str(CONTROLLER_ENV / "bin/python")  # Python finds its environment by the path that it is called by
    os.execv(python, [python, "-m", "lab", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
