"""An engine with OpenAI's API: greedy answers, timed as its clients see them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.client import Client
from tests.support.server import PYTHON, Process
from tests.support.waiting import wait_for_engine

TOKENS = 64
PROMPT = "Write a long story about a lighthouse keeper and the sea. Begin with the weather. Story number {}."
# One thread for each engine leaves the other core to its server and to the clients.
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1"}
Figures = dict[str, float]


class Server:
    def __init__(
        self,
        name: str,
        log: Path,
        port: int,
        model: str,
        command: Sequence[object],
        program: Path = PYTHON,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """model: its name in the API; command: arguments of the program; environment: beside that of all engines."""
        started = time.perf_counter()
        self.process = Process(log, command, program, **{**ENVIRONMENT, **(environment or {})})
        self._client, self.port, self.name, self._model = Client(port), port, name, model
        wait_for_engine(
            lambda: self.process.process.poll() is not None or self._client.answers("/health"), f"{name} ready"
        )
        assert self.process.process.poll() is None, self.process.log()
        self._ask(-1)  # some load the model with the first request
        self.start_s = time.perf_counter() - started

    def measure(self, numbers: Sequence[int]) -> Figures:
        """Runs one stream for each number, all at once."""
        started = time.perf_counter()
        with ThreadPoolExecutor(len(numbers)) as threads:
            arrivals = list(threads.map(self._ask, numbers))
        seconds = time.perf_counter() - started
        gaps = sorted(later - earlier for times in arrivals for earlier, later in itertools.pairwise(times[1:]))
        first = sorted(times[1] - times[0] for times in arrivals)
        return {
            "tokens_per_s": len(numbers) * TOKENS / seconds,
            "first_p50_s": statistics.median(first),
            "first_p99_s": first[round(0.99 * (len(first) - 1))],
            "between_p50_s": statistics.median(gaps),
            "between_p99_s": gaps[round(0.99 * (len(gaps) - 1))],
        }

    def _ask(self, number: int) -> list[float]:
        """Times of the request and of each piece of text."""
        messages = [{"role": "user", "content": PROMPT.format(number)}]
        body = {"messages": messages, "max_tokens": TOKENS, "temperature": 0, "model": self._model}
        times, reason = [time.perf_counter()], None
        for event in self._client.stream("/v1/chat/completions", body):
            choices = event["choices"] if isinstance(event, dict) else []
            if choices and (choices[0].get("delta") or {}).get("content"):
                times.append(time.perf_counter())
            reason = (choices[0].get("finish_reason") if choices else None) or reason
        assert reason == "length", f"{self.name} ended {number} by {reason}: fewer than {TOKENS} tokens"
        return times

    @property
    def pid(self) -> int:
        return self.process.process.pid

    def close(self) -> None:
        self.process.end()
