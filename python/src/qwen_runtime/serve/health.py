"""State of the server, as probes and Prometheus see it."""

from __future__ import annotations

import enum
import threading
import time


class State(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STALLED = "stalled"
    DEAD = "dead"


PASSING = {  # the states in which each answers 200
    "/health/startup": {State.READY, State.DRAINING},
    "/health/ready": {State.READY},
    "/health/live": {State.STARTING, State.READY, State.DRAINING},
}


_ORDER = list(State)


class Health:
    """The current state and why. States only move forward: a late answer of the engine does not undo a SIGTERM."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_at = time.time()
        self.state = State.STARTING
        self.reason = "the engine has not answered yet"
        self.obstacle: str | None = self.reason
        """Why a server that is up can't answer right now; ready needs this to be None."""
        self.start_s: float | None = None
        """Time from the engine's start to its first answer; None before that."""

    def move(self, state: State, reason: str) -> bool:
        """False where the state is not ahead of the current one; then nothing changes."""
        with self._lock:
            if _ORDER.index(state) <= _ORDER.index(self.state):
                return False
            self.state, self.reason = state, reason
            if state is State.READY:
                self.obstacle = None
            return True

    def note(self, obstacle: str | None) -> bool:
        """Keeps what the engine's latest answer said; True where that is news about a server that was up."""
        with self._lock:
            news = self.state is State.READY and obstacle != self.obstacle
            self.obstacle = obstacle
            return news

    def answer(self, path: str) -> tuple[int, dict[str, str]]:
        with self._lock:
            state, reason, obstacle = self.state, self.reason, self.obstacle
        if path not in PASSING:
            return 404, {"error": f"{path} is not one of {', '.join(PASSING)}"}
        passing = state in PASSING[path]
        if state in (State.STARTING, State.READY) and obstacle:
            reason = obstacle
            passing = passing and path != "/health/ready"
        return 200 if passing else 503, {"state": state.value, "reason": reason}

    def metrics(self) -> str:
        """Metrics for Prometheus that no engine has of itself."""
        with self._lock:
            state, start_s = self.state, self.start_s
        lines = ["# HELP qwen_runtime_state Whether the server is in this state.", "# TYPE qwen_runtime_state gauge"]
        lines += [f'qwen_runtime_state{{state="{one.value}"}} {int(one is state)}' for one in State]
        lines.append("# HELP qwen_runtime_started_at_seconds Time at which this server started, since 1970.")
        lines.append("# TYPE qwen_runtime_started_at_seconds gauge")
        lines.append(f"qwen_runtime_started_at_seconds {self._started_at:.0f}")
        if start_s is not None:
            lines.append("# HELP qwen_runtime_start_seconds From the engine's start to its first answer.")
            lines += ["# TYPE qwen_runtime_start_seconds gauge", f"qwen_runtime_start_seconds {start_s}"]
        return "\n".join(lines) + "\n"
