"""An engine of several ranks is one engine: what ends one of them ends all, and the reason names it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_runtime.serve import ranks

from tests.fakes.vllm_site import FAKE
from tests.support.client import get
from tests.support.ports import free_port
from tests.support.processes import SOURCE, runs
from tests.support.waiting import PATIENCE_S, wait_until

ENGINE = f"""
import os, runpy, signal
runpy.run_path({str(FAKE)!r}, run_name="__main__") if os.environ["RANK"] == "0" else signal.pause()
"""
SUPERVISOR = """
import os, sys
from qwen_runtime.engine import vllm
from qwen_runtime.serve import ranks
from qwen_runtime.serve.supervisor import Supervisor
port, health_port, engine = sys.argv[1:]
Supervisor(
    [sys.executable, "-c", engine, "--port", port, "--served-model-name", "m"],
    ranks.environments(os.environ, 2),
    port=int(port),
    health_port=int(health_port),
    served_model_name="m",
    read_progress=vllm.read_progress,
    stall_s=60,
    settle_s=1,
    drain_s=5,
    find_change=lambda: None,
).run()
"""


class Served:
    def __init__(self, log: Path) -> None:
        self._log, self._health_port = log, free_port()
        command = [sys.executable, "-c", SUPERVISOR, str(free_port()), str(self._health_port), ENGINE]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def log(self) -> str:
        return self._log.read_text()

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return get(self._health_port, "/health/ready")[0] == 200
        except OSError:
            return False

    def ranks(self) -> list[int]:
        [pids] = re.findall(r"the engine runs as processes (\d+), (\d+)", self.log())
        return [int(pid) for pid in pids]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "log")
    wait_until(made.is_ready, "ready")
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait(PATIENCE_S)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_ranks_death_is_that_of_all_and_is_told(served: Served, rank: int) -> None:
    pids = served.ranks()
    os.kill(pids[rank], signal.SIGKILL)
    assert served.process.wait(PATIENCE_S) != 0
    assert f"rank {rank} of the engine (process {pids[rank]}) was killed by SIGKILL without" in served.log()
    assert not [pid for pid in pids if runs(pid)]


def test_a_rank_that_outlives_the_first_is_waited_for_and_then_ended(served: Served) -> None:
    pids = served.ranks()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE_S) == 0
    assert '"killed", "message": "the engine did not end within 5 s of SIGTERM' in served.log()
    assert not [pid for pid in pids if runs(pid)]


def test_ranks_are_told_apart_and_share_the_rest() -> None:
    first, second = ranks.environments({"OMP_NUM_THREADS": "3", "RANK": "9"}, 2)
    different = {"RANK", "LOCAL_RANK"}
    assert [(each["RANK"], each["LOCAL_RANK"], each["WORLD_SIZE"]) for each in (first, second)] == [
        ("0", "0", "2"),
        ("1", "1", "2"),
    ]
    assert {key: value for key, value in first.items() if key not in different} == {
        key: value for key, value in second.items() if key not in different
    }
    assert first["OMP_NUM_THREADS"] == "3"
    assert first["PYTHONHASHSEED"].isdigit()
