"""The error by which an engine's log explains its end: the last one that is a cause."""

from __future__ import annotations

import pytest
from qwen_runtime.serve.engine_log import MAX_CHARACTERS, EngineLog

ENGINE = "(EngineCore pid=9) ERROR 11-30 04:20:20 [core.py:1512] "
SERVER = "(APIServer pid=1) ERROR 11-30 04:20:20 [async_llm.py:906] "
# As vLLM 0.32 wrote them.
INDUCTOR = "torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found"
ECHO = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore failed. See stack trace (above) for the root cause."


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([f"{ENGINE}{INDUCTOR}", ENGINE, f"{SERVER}{ECHO}"], "InductorError: InvalidCxxCompiler: No working"),
        (["torch.OutOfMemoryError: CUDA out of memory.", "RuntimeError: Engine core failed. See root cause above."],
         "OutOfMemoryError: CUDA out of memory."),
        (["ValueError: first", "KeyError: 'second'"], "KeyError: 'second'"),
        ([f"{ENGINE}EngineCore failed to start.", "INFO bye"], "EngineCore failed to start."),
        ([f"{ENGINE}{INDUCTOR}", f"{SERVER}AsyncLLM output_handler failed."], "InductorError: InvalidCxxCompiler"),
    ],
    ids=["an echo", "a pointer", "two", "no exception", "a marked line after an exception"],
)  # fmt: skip
def test_the_last_error_that_is_a_cause_is_kept(lines: list[str], error: str) -> None:
    log = EngineLog()
    for line in lines:
        log.read(line)
    assert f"the last error in its log, 0 s before: {error}" in (log.describe_error() or "")


@pytest.mark.parametrize("line", ["INFO: started", "no error here", f"{SERVER}{ECHO}", "WARNING: see `OSError: [24]`"])
def test_what_is_no_cause_is_none(line: str) -> None:
    log = EngineLog()
    log.read(line)
    assert log.describe_error() is None


def test_an_error_without_end_is_cut() -> None:
    log = EngineLog()
    log.read("ValueError: " + "x" * 10_000)
    assert len(log.describe_error() or "") < MAX_CHARACTERS + 100
