"""`make dashboards`: the lab's dashboards in a browser, by the way that a site takes, and pictures of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.cluster.stack import NAMESPACE
from lab.errors import LabError
from lab.machine import ports
from lab.paths import BIN, KUBECONFIG
from lab.shell import output

NAME, PORT = "dashboards", 8093
ADDRESS = f"http://127.0.0.1:{ports.DASHBOARDS}"
PATIENCE_S = 20
WIDTH, HEAD, ROW = 1500, 90, 360
"""Pixels of a picture, of what stands above the rows, and of each row."""
READING_MS = 15_000


def show(pictures: Path | None) -> int:
    """Forward a port to the page until Ctrl-C, or until there is a picture of each dashboard in the folder."""
    browser = shutil.which("chromium") if pictures else None
    if pictures and browser is None:
        raise LabError("no chromium on PATH", "a browser that takes pictures", "apt-get install chromium")
    with _forwarded() as process:
        if pictures and browser:
            pictures.mkdir(parents=True, exist_ok=True)
            for page in _ask("/pages"):
                print(_picture(browser, page, pictures))
            return 0
        print(f"{ADDRESS} shows the dashboards until Ctrl-C", flush=True)
        try:
            return process.wait()
        except KeyboardInterrupt:
            return 0


@contextmanager
def _forwarded() -> Iterator[subprocess.Popen[bytes]]:
    command = (BIN / "kubectl", "--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE, "port-forward")
    process = subprocess.Popen(
        [*command, f"deployment/{NAME}", f"{ports.DASHBOARDS}:{PORT}"], stdout=subprocess.DEVNULL
    )
    try:
        _wait(process)
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            _ask("/pages")
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(
                    f"the dashboards do not answer at {ADDRESS}: {error}",
                    "a lab that is up, and this port free",
                    "see `make status`",
                ) from error
        time.sleep(0.2)


def _ask(path: str) -> Any:
    with urllib.request.urlopen(ADDRESS + path, timeout=10) as answer:
        return json.load(answer)


def _picture(browser: str, page: Any, folder: Path) -> Path:
    file = folder / f"{page['uid']}.png"
    # Chromium's own sandbox needs a user other than root; it opens nothing but this page.
    output(
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--window-size={WIDTH},{HEAD + ROW * len(page['rows'])}", f"--virtual-time-budget={READING_MS}",
        f"--screenshot={file}", f"{ADDRESS}/?page={page['uid']}",
    )  # fmt: skip
    return file
