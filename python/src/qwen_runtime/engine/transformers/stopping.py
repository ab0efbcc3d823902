"""Stop strings in a text that arrives in pieces, wherever the borders of its tokens fall."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Lets text through up to the first stop string, and holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found: str | None = None

    def feed(self, text: str) -> str:
        """Text that may be shown after this piece; none once `found` is set."""
        if self.found is not None:
            return ""
        text = self._held + text
        ends = {stop: start + len(stop) for stop in self._stops if (start := text.find(stop)) >= 0}
        if ends:
            # The first that is complete; of those that end together the first that was asked for, as with vLLM.
            self.found = min(ends, key=ends.__getitem__)
            self._held = ""
            return text[: ends[self.found] - len(self.found)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """Text that was held back, now that no more comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text that the stop string begins with."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
