"""One model over several processes: one process's tokens, and one death is that of all."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engines.transformers.conftest import Oracle, Serve, make_oracle
from tests.engines.transformers.served import PATIENCE_S, Client, Json, Process, wait_until

pytestmark = [pytest.mark.contract, pytest.mark.long]
COMPLETIONS = "/v1/completions"
Group = tuple[Process, Client, list[Json]]


@pytest.fixture(scope="module", params=["llama", "qwen3_moe"])
def group(
    request: pytest.FixtureRequest, serve: Serve, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory
) -> Group:
    """Two ranks: of a dense model by tensor parallelism, of a mixture of experts by expert parallelism too."""
    if request.param == "llama":
        return *serve("--tp-size", "2"), oracle[1]
    directory, known = make_oracle(tmp_path_factory.mktemp("moe"), request.param)
    return *serve("--tp-size", "2", "--ep-size", "2", model=directory), known


def ranks(client: Client) -> dict[str, int]:
    """Process ids of the ranks of the server at the client's port."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text().split("\0")
            variables = (entry / "environ").read_text(errors="replace").split("\0")
        except OSError:
            continue  # ended while we looked
        if "qwen_runtime.engine.transformers" in words and str(client.port) in words:
            rank = next((word.partition("=")[2] for word in variables if word.startswith("RANK=")), "0")
            found[rank] = int(entry.name)
    return found


def test_ranks_give_the_tokens_of_one_process_and_end_together(group: Group) -> None:
    process, client, known = group
    bodies = [{"prompt": each["prompt"], "max_tokens": len(each["answer"])} for each in known[:5]]
    greedy = [{**body, "temperature": 0, "ignore_eos": True} for body in bodies]
    with ThreadPoolExecutor(len(greedy)) as threads:
        answers = list(threads.map(lambda body: client.ask(COMPLETIONS, body), greedy))
    assert [answer["choices"][0]["text"] for _, answer in answers] == [each["text"] for each in known[:5]]
    hot = {"prompt": "x", "temperature": 1.5, "max_tokens": 20, "seed": 5, "ignore_eos": True}
    sampled = [client.ask(COMPLETIONS, hot)[1]["choices"][0]["text"] for _ in range(2)]
    assert sampled[0] == sampled[1]

    pids = ranks(client)
    assert set(pids) == {"0", "1"}
    os.kill(pids["1"], signal.SIGKILL)
    assert process.process.wait(PATIENCE_S) == 5
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids.values()), "the end of both ranks")
    assert f"rank 1 (process {pids['1']}) ended with status -9" in process.log()


def test_sigterm_ends_the_group_in_order(serve: Serve) -> None:
    process, client = serve("--tp-size", "2")
    pids = ranks(client)
    assert client.ask(COMPLETIONS, {"prompt": "x", "max_tokens": 1})[0] == 200
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(PATIENCE_S) == 0, process.log()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
