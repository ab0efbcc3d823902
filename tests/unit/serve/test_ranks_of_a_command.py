"""The ranks of a command: all of them end well, or the first that does not ends the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime.errors import EngineError, UsageError
from qwen_runtime.serve import processes, ranks


def run_ranks(tmp_path: Path, code: str, explain: Callable[[int], Exception | None] = lambda rank: None) -> None:
    prelude = f"import os, signal, sys, time; rank = int(os.environ['RANK']); mine = {str(tmp_path)!r} + f'/{{rank}}'\n"
    ranks.run([sys.executable, "-c", prelude + code], 3, os.environ, explain)


def test_ranks_that_all_end_well_met_at_one_place(tmp_path: Path) -> None:
    run_ranks(tmp_path, "open(mine, 'w').write(' '.join(map(os.environ.get, ('WORLD_SIZE', 'MASTER_PORT'))))")
    written = {(tmp_path / str(rank)).read_text() for rank in range(3)}
    assert len(written) == 1
    assert written.pop().startswith("3 ")


def test_the_death_of_a_rank_ends_the_others_and_their_children_with_the_reason(tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
open(mine, 'w').write(str(os.getpid()))
while not all(os.path.exists(mine[:-1] + str(other)) for other in range(3)):
    time.sleep(0.01)
if rank == 1 and child:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(600)
"""
    with pytest.raises(EngineError, match="rank 1 of 3 was killed by SIGKILL; the others were ended"):
        run_ranks(tmp_path, code)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"], "all of them ran"
    assert not processes.descendants(os.getpid())


def test_a_rank_that_says_why_it_ends_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="said by 2"):
        run_ranks(tmp_path, "sys.exit(2 if rank == 2 else 0)", lambda rank: UsageError(f"said by {rank}", "", ""))
