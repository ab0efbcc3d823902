"""Judges whether the engine works: tokens must move while requests are there. An open port says nothing."""

from __future__ import annotations

from qwen_runtime.engine.spec import Progress


class ProgressJudge:
    """Tells an engine that has stalled from one that is busy: a busy one, however slow, still moves tokens."""

    def __init__(self, limit_s: float) -> None:
        """limit_s: the longest time without progress; longer than the slowest single step of the model."""
        self._limit_s = limit_s
        self._tokens: float | None = None
        self._moved_s: float | None = None

    def left_s(self, now_s: float) -> float:
        """Time until it would count as stalled if nothing moved."""
        return self._limit_s if self._moved_s is None else self._limit_s - (now_s - self._moved_s)

    def find_stall(self, progress: Progress | None, now_s: float) -> str | None:
        """Why the engine counts as stalled at a time of a monotonic clock; None while it does not.

        progress is None where the engine did not answer. That alone is no stall: a busy server answers late.
        """
        still = progress is None or bool(
            progress.requests and progress.tokens is not None and progress.tokens == self._tokens
        )
        if self._moved_s is None or not still:
            self._moved_s = now_s
            self._tokens = progress.tokens if progress is not None else None
        still_s = now_s - self._moved_s
        if still_s <= self._limit_s:
            return None
        if progress is None:
            return f"the engine has not answered for {still_s:.0f} s (limit {self._limit_s:g} s)"
        return f"{progress.requests} request(s) and no token for {still_s:.0f} s (limit {self._limit_s:g} s)"
