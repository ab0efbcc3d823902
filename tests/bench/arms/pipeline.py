"""TextGenerationPipeline: whole batches, no streams, so that the first token comes with the last."""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.arms.server import ENVIRONMENT, PROMPT, TOKENS, Figures
from tests.support.server import PYTHON

BATCH = 16
SCRIPT = """
import json, sys, time, torch, transformers
directory, batch, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
generate = transformers.pipeline("text-generation", directory, dtype=torch.bfloat16, batch_size=batch)
generate.tokenizer.padding_side = "left"
print("ready", flush=True)
for line in sys.stdin:
    chats = [[{"role": "user", "content": prompt}] for prompt in json.loads(line)]
    started = time.perf_counter()
    generate(chats, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
    print(json.dumps(time.perf_counter() - started), flush=True)
"""


class Pipeline:
    def __init__(self, directory: Path, log: Path) -> None:
        started = time.perf_counter()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [PYTHON, "-c", SCRIPT, directory, str(BATCH), str(TOKENS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"},
            )
        answer = self._answer()
        assert answer == "ready", log.read_text()
        self.start_s = time.perf_counter() - started

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def measure(self, numbers: Sequence[int]) -> Figures:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([PROMPT.format(number) for number in numbers]) + "\n")
        self._process.stdin.flush()
        seconds = float(self._answer())
        batches = math.ceil(len(numbers) / BATCH)
        middle_s = seconds * math.ceil(batches / 2) / batches
        return {"tokens_per_s": len(numbers) * TOKENS / seconds, "first_p50_s": middle_s, "first_p99_s": seconds}

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
