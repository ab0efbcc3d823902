"""People who use an endpoint all the time while something changes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

Act = Callable[[], None]


@contextmanager
def repeated(*acts: Act, pause_s: float = 0) -> Iterator[None]:
    """Runs each act again and again, side by side, until the block ends; then raises what an act has raised."""
    ended = threading.Event()

    def go_on(act: Act) -> None:
        while not ended.wait(pause_s):
            act()

    with ThreadPoolExecutor(len(acts)) as pool:
        work = [pool.submit(go_on, act) for act in acts]
        try:
            yield
        finally:
            ended.set()
    for future in work:
        future.result()


class Load:
    """Counts acts that succeed, by their names, and lists the failures of the others; nobody tries a second time."""

    def __init__(self, *errors: type[Exception]) -> None:
        """errors: exceptions that are failures of the endpoint; any other one ends the test."""
        self.succeeded: Counter[str] = Counter()
        self.failures: list[str] = []
        self._errors = errors

    def counted(self, act: Act) -> Act:
        def attempt() -> None:
            try:
                act()
            except self._errors as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {act.__name__}: {error!r}")
            else:
                self.succeeded[act.__name__] += 1

        return attempt
