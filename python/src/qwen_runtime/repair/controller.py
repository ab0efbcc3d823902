"""The controller: each pass reads the facts anew, and keeps nothing of the pass before."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from http import HTTPStatus

from qwen_runtime.repair import events, nodes, report
from qwen_runtime.repair.actor import Actor
from qwen_runtime.repair.settings import Settings
from qwen_runtime.repair.web import Api, Prometheus, Refused, Unreachable

# Faults are dated by Prometheus' clock, and repairs by this host's.
MOST_APART_S = 30
EXPORTERS = "app.kubernetes.io/name=dcgm-exporter"


class Controller:
    def __init__(
        self, settings: Settings, api: Api, prometheus: Prometheus, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.figures = report.Figures()
        self.tried_s = time.monotonic()
        # Faults that this process told of and that still last. After a restart the API knows the names.
        self._told: set[tuple[str, ...]] = set()
        self._api = api
        self._clock = clock
        self._prometheus = prometheus
        self._actor = Actor(settings.acting, settings.namespace, api) if settings.acting else None

    def run(self) -> None:
        while True:
            self.attempt()
            time.sleep(self.settings.interval_s)

    def attempt(self) -> None:
        """Makes a pass. Whoever does not answer is asked again in the next one."""
        self.tried_s = time.monotonic()
        try:
            self._pass()
        except (Unreachable, Refused) as problem:
            self.figures.failures += 1
            _log(f"pass given up: {problem}")
        else:
            self.figures.passed_s = time.time()

    def _pass(self) -> None:
        settings = self.settings
        exporters = self._api.list(f"/api/v1/namespaces/{settings.namespace}/pods", labelSelector=EXPORTERS)
        known = nodes.nodes(self._api.list("/api/v1/nodes", labelSelector=nodes.GPU_LABEL), exporters)
        if self._actor:
            self._advance(self._actor, known)
        # One value before the oldest event that counts shows that it was a change.
        series = self._prometheus.series(settings.expire_s + settings.stale_s)
        now_s = self._prometheus.now_s()
        found = events.find(series, known, now_s, settings.expire_s, settings.stale_s)
        self.figures.events, self.figures.dropped = found.events, found.dropped
        lasting = {event.fault: event for event in found.events}
        for fault, event in lasting.items():
            if fault not in self._told:
                self._tell(event, known[event.node])
        self._told = set(lasting)
        if self._actor:
            self._begin(self._actor, found.events, known, now_s)

    def _advance(self, actor: Actor, known: dict[str, nodes.Node]) -> None:
        before = self.figures.states
        actor.advance(known, self._clock())
        self.figures.states = actor.states
        for name, state in actor.states.items():
            if state != before.get(name, state):
                _log(f"{name}: {state.step.value} {state.why}")

    def _begin(self, actor: Actor, found: list[events.Event], known: dict[str, nodes.Node], now_s: float) -> None:
        before = self.figures.held
        apart_s = abs(self._clock() - now_s)
        if apart_s > MOST_APART_S:
            raise Unreachable(f"Prometheus' clock is {apart_s:.0f} s from this host's: nothing is begun")
        actor.begin(found, known, now_s)
        self.figures.held = actor.held
        for name, reason in actor.held.items():
            if reason != before.get(name):
                _log(f"{name}: left alone: {reason}")

    def _tell(self, event: events.Event, node: nodes.Node) -> None:
        """Tells of an event once. That it was told is a fact of the API too."""
        path = f"/api/v1/namespaces/{report.EVENTS_NAMESPACE}/events"
        try:
            self._api.ask("POST", path, report.told(event, node, self._actor is None))
        except Refused as refusal:
            if refusal.status != HTTPStatus.CONFLICT:
                raise
        else:
            _log(f"{event.node} GPU {event.gpu}: {event.row.fault}; the table says: {event.row.action.words}")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
