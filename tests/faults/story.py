"""Faults of a test with the times at which they began and ended, and what the webhook heard of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from tests.faults.alert_receiver import Receiver
from tests.support.waiting import wait_until

PATIENCE_S = 300
HEAD = ("alert", "broken by", "the rule's own time", "notified after", "its end after")


def nothing() -> None:
    """A mend of something that mends itself, or that nobody can mend."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is broken and put back again, and the alerts that tell of it. `mend` may run twice."""

    cause: str
    alerts: tuple[str, ...]
    breaks: Callable[[], object]
    mend: Callable[[], object] = nothing


class Story:
    """Faults that follow each other. At the end of `open` everything is put back that was broken, the last one first.

    `held` has the time that each rule waits by itself, in seconds.
    """

    def __init__(self, receiver: Receiver, held: Mapping[str, float]) -> None:
        self.receiver = receiver
        self.open = ExitStack()
        self._held = held
        self._broken: dict[str, tuple[str, float]] = {}
        self._mended: dict[str, float] = {}

    def breaks(self, *faults: Fault) -> None:
        for fault in faults:
            self.open.callback(fault.mend)
            for alert in fault.alerts:
                self.receiver.forget_ended(alert)
            fault.breaks()
            self._broken |= {alert: (fault.cause, time.monotonic()) for alert in fault.alerts}

    def mends(self, *faults: Fault) -> None:
        for fault in faults:
            for alert in fault.alerts:
                # An end that was heard before is that of another cause.
                self.receiver.resolved.pop(alert, None)
            self._mended |= {alert: time.monotonic() for alert in fault.alerts}
            fault.mend()

    def wait_fired(self, *faults: Fault) -> None:
        self._wait(self.receiver.fired, "the notification of", faults)

    def wait_resolved(self, *faults: Fault) -> None:
        self._wait(self.receiver.resolved, "the end of", faults)

    def _wait(self, heard: Mapping[str, float], what: str, faults: tuple[Fault, ...]) -> None:
        wanted = {alert for fault in faults for alert in fault.alerts}
        try:
            wait_until(lambda: wanted <= heard.keys(), what, PATIENCE_S)
        except AssertionError as late:
            raise AssertionError(f"{what} {sorted(wanted - heard.keys())}, heard {sorted(heard)}") from late

    def table(self) -> str:
        rows = [HEAD, tuple("---" for _ in HEAD)]
        for alert, (cause, broken) in self._broken.items():
            fired_s = self.receiver.fired[alert] - broken
            told = f"{fired_s:.0f} s" if fired_s >= 0 else "an earlier cause"
            ended = "not waited for"
            if alert in self._mended and alert in self.receiver.resolved:
                ended = f"{self.receiver.resolved[alert] - self._mended[alert]:.0f} s"
            rows.append((alert, cause, f"{self._held[alert]:g} s", told, ended))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
