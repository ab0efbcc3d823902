"""`qwen-runtime history`: results over time."""

from __future__ import annotations

import io
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_runtime.cli.common import Commands, Options, add, port
from qwen_runtime.cli.documents import refuse_output, write_text
from qwen_runtime.errors import HostError, UsageError
from qwen_runtime.extras import EVALUATION, require

if TYPE_CHECKING:
    from qwen_runtime.gate.history import Figure


def add_to(commands: Commands) -> None:
    history = commands.add_parser("history", help="keep and export results and decisions", allow_abbrev=False)
    actions = history.add_subparsers(required=True, metavar="ACTION")
    keep = add(actions, "add", run_add, "keep results; one that is kept already stays as it is")
    keep.add_argument("results", nargs="+", type=Path, metavar="RESULT")
    tables = {
        "csv": (run_csv, "headline figures of every result as CSV"),
        "metrics": (run_metrics, "latest figures in Prometheus' text format, for a textfile collector"),
        "plot": (run_plot, "a page with a plot of each figure over time"),
        "serve": (run_serve, "metrics for Prometheus, and a place to which results are sent"),
        "decisions": (run_decisions, "what was promoted, refused and overridden, by whom and why"),
    }
    for name, (action, summary) in tables.items():
        add(actions, name, action, summary)
    for parser in actions.choices.values():
        parser.add_argument("--history", required=True, metavar="FILE", help="with `add` also the URL of `serve`")
    for name in ("csv", "metrics", "plot"):
        actions.choices[name].add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    actions.choices["serve"].add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    actions.choices["serve"].add_argument("--port", type=port, default=9108, help="default: %(default)s")


def run_add(options: Options) -> None:
    from qwen_runtime.compare import results
    from qwen_runtime.gate.history import History

    documents = [results.read(path, *results.KINDS) for path in options.results]
    if options.history.startswith(("http://", "https://")):
        for path in options.results:
            _send(options.history, path.read_bytes())
        print(f"{options.history}: {len(documents)} sent")
        return
    history = History(Path(options.history))
    try:
        added = [history.add(document) for document in documents]
    finally:
        history.close()
    print(f"{options.history}: {sum(added)} added, {len(added) - sum(added)} there already")


def _send(url: str, content: bytes) -> None:
    request = urllib.request.Request(f"{url.rstrip('/')}/results", data=content, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60):
            pass
    except urllib.error.HTTPError as error:
        raise UsageError(
            f"{url} answered {error.code} ({error.read(500).decode(errors='replace').strip()})",
            "a server of `qwen-runtime history serve` of this version",
            "Correct --history.",
        ) from error
    except OSError as error:
        raise HostError(
            f"{url} does not answer ({error})", "`qwen-runtime history serve` there", "Start it."
        ) from error


def run_serve(options: Options) -> None:
    from qwen_runtime.gate import server

    server.run(Path(options.history), options.host, options.port)


def run_plot(options: Options) -> None:
    require(EVALUATION, "matplotlib", "numpy")
    from qwen_runtime.gate import plots

    _give(options.output, plots.html(_figures(options.history)))


def run_csv(options: Options) -> None:
    from qwen_runtime.gate import history

    text = io.StringIO()
    history.write_csv(_figures(options.history), text)
    _give(options.output, text.getvalue())


def run_metrics(options: Options) -> None:
    from qwen_runtime.gate import exposition

    _give(options.output, exposition.metrics(_figures(options.history)))


def run_decisions(options: Options) -> None:
    from qwen_runtime.gate.history import History

    opened = History(_there(options.history))
    try:
        for decision in opened.decisions():
            who = f" by {decision['override_by']}: {decision['because']}" if decision["override_by"] else ""
            print(f"{decision['at']} {decision['verdict']}{who}")
            for fault in decision["faults"]:
                print(f"  {fault}")
    finally:
        opened.close()


def _figures(path: str) -> list[Figure]:
    from qwen_runtime.gate.history import History

    opened = History(_there(path))
    try:
        return opened.figures()
    finally:
        opened.close()


def _there(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"no history {path}", "a file that `history add` or `gate` made", "Correct the path.")
    return path


def _give(path: Path | None, text: str) -> None:
    """Print the text, or put it whole in the place of a file."""
    if path is None:
        sys.stdout.write(text)
        return
    refuse_output(path)
    write_text(path, text)
