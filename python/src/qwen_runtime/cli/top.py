"""`qwen-runtime top`: a site's figures in a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from qwen_runtime.cli.common import Commands, Options, above_zero, add, add_prometheus
from qwen_runtime.errors import Error
from qwen_runtime.extras import require

if TYPE_CHECKING:
    from qwen_runtime.watch.prometheus import Prometheus

WIDE = 140
"""Columns where the output is no terminal."""


def add_to(commands: Commands) -> None:
    top = add(commands, "top", run, "the fleet, its models, hosts and GPUs in a terminal, planned beside seen")
    add_prometheus(top)
    top.add_argument("--every", type=above_zero, default=5.0, metavar="S", help="seconds between two (default: 5)")
    top.add_argument("--node", metavar="NAME", help="GPUs of this host alone")
    ways = top.add_mutually_exclusive_group()
    ways.add_argument("--once", action="store_true", help="print one screen and end; so it is without a terminal")
    ways.add_argument("--line", action="store_true", help="print the site's health in one line and end")


def run(options: Options) -> None:
    from qwen_runtime.watch import figures
    from qwen_runtime.watch.prometheus import Prometheus, login

    prometheus = Prometheus(options.prometheus, login(options.login_file))
    if options.line:
        print(figures.health(figures.read(prometheus)))
        return
    require("terminal", "rich")
    from rich.console import Console

    from qwen_runtime.watch import screen

    if options.once or not sys.stdout.isatty():
        console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
        console.print(screen.frame(figures.read(prometheus), options.node))
        return
    _follow(prometheus, options)


def _follow(prometheus: Prometheus, options: Options) -> None:
    """Screens until Ctrl-C. Figures that cannot be read stay as they were, below what is wrong."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from qwen_runtime.watch import figures, screen

    shown = screen.frame(figures.read(prometheus), options.node)
    with Live(shown, console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(options.every)
            try:
                shown = screen.frame(figures.read(prometheus), options.node)
                live.update(shown, refresh=True)
            except Error as error:
                live.update(Group(Text(screen.plain(error.found), style="bold red"), shown), refresh=True)
