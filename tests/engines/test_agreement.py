"""Engines vllm and transformers on the same weights in float32: what must be equal, and the list of what is not.

docs/engines.md lists the differences. Those that a request can show are held here, so that the list is true.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab import store
from lab.paths import CACHE
from tests.support.client import CHAT, COMPLETIONS, Client, Json
from tests.support.ports import free_port
from tests.support.server import PYTHON, Process
from tests.support.waiting import wait_for_engine

MODEL, CONTEXT = "smollm2-135m-instruct", 512
LOGPROB_BOUND = 1e-3
"""Largest difference of a token's logarithmic probability: both compute in float32, in another order."""
ENGINES: dict[str, tuple[str, ...]] = {
    "vllm": ("--enforce-eager", "--max-num-seqs", "8"),
    "transformers": (),
}
VLLM = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}

USER = [{"role": "user", "content": "What is the capital of France?"}]
CONVERSATION = [
    {"role": "system", "content": "You are a pirate."},
    {"role": "user", "content": "Hello, who are you?"},
    {"role": "assistant", "content": "Arr, I be Jack."},
    {"role": "user", "content": [{"type": "text", "text": "Where do you live,"}, {"type": "text", "text": "Jack?"}]},
]
ANSWERED: list[tuple[str, Json]] = [
    (CHAT, {"messages": USER}),
    (CHAT, {"messages": CONVERSATION}),
    (CHAT, {"messages": [{"role": "user", "content": "数到五 \U0001f600\x07"}]}),
    (CHAT, {"messages": [{"role": "user", "content": ""}]}),
    (CHAT, {"messages": USER, "stop": [" of", "capital of"]}),
    (CHAT, {"messages": USER, "stop": "\n\n", "presence_penalty": 0.5, "frequency_penalty": 0.5}),
    (CHAT, {"messages": USER, "ignore_eos": True, "repetition_penalty": 1.2}),
    (CHAT, {"messages": USER, "max_completion_tokens": 1}),
    (COMPLETIONS, {"prompt": "def fibonacci(n):"}),
    (COMPLETIONS, {"prompt": "def fibonacci(n):", "max_tokens": 5, "stop": "never"}),
    (COMPLETIONS, {"prompt": "Once upon a time", "stop": [", there", "e was"], "max_tokens": 30}),
    (COMPLETIONS, {"prompt": [504, 3575, 282, 4649, 314], "max_tokens": 12}),
]
REFUSED: list[tuple[str, Json, int]] = [
    (CHAT, {"messages": USER, "model": "other"}, 404),
    (CHAT, {"messages": [{"role": "user", "content": "word " * CONTEXT}]}, 400),
    (CHAT, {"messages": USER, "temperature": -1}, 400),
    (CHAT, {"messages": USER, "temperature": 2.5}, 400),
    (CHAT, {"messages": USER, "top_p": 0}, 400),
    (CHAT, {"messages": USER, "top_k": -2}, 400),
    (CHAT, {"messages": USER, "presence_penalty": 3}, 400),
    (CHAT, {"messages": USER, "max_tokens": -3}, 400),
    (CHAT, {"messages": USER, "stop": ""}, 400),
    (CHAT, {"messages": "hi"}, 400),
    (CHAT, {}, 400),
    (COMPLETIONS, {"prompt": [10**6]}, 400),
    (COMPLETIONS, {"prompt": "x", "logprobs": 21}, 400),
]
# Path and body, then the status of vllm and of transformers.
DIFFERENT: list[tuple[str, Json, int, int]] = [
    (CHAT, {"messages": USER, "unheard_of": 1}, 200, 400),
    (CHAT, {"messages": USER, "max_tokens": CONTEXT}, 200, 400),
    (CHAT, {"messages": [{"role": "alien", "content": "x"}]}, 200, 400),
    (CHAT, {"messages": USER, "n": 2}, 200, 400),
    (CHAT, {"messages": USER, "min_p": 0.1}, 200, 400),
    (CHAT, {"messages": USER, "logit_bias": {"5": 1.0}}, 200, 400),
    (CHAT, {"messages": USER, "response_format": {"type": "json_object"}}, 200, 400),
    (COMPLETIONS, {"prompt": ["one", "two"]}, 200, 400),
    (COMPLETIONS, {"prompt": "x", "echo": True}, 200, 400),
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    """Both engines, started once, side by side."""
    manifests = sorted((CACHE / "models" / MODEL).glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    if not PYTHON.exists() or not manifests:
        pytest.skip("needs the serving environment (`make contract`) and the converted model (`make up`)")
    directory = tmp_path_factory.mktemp("agreement") / MODEL
    shutil.copytree(manifests[-1].parent, directory, ignore=shutil.ignore_patterns(store.SUMS))
    processes, clients, ready = [], {}, {}
    for engine, flags in ENGINES.items():
        port, health_port = free_port(), free_port()
        command = ["-m", "qwen_runtime", "serve", "--engine", engine, "--model", directory, "--port", port]
        command += ["--health-port", health_port, "--max-model-len", CONTEXT, "--dtype", "float32", "--", *flags]
        processes.append(Process(directory.parent / f"{engine}.log", command, **VLLM))
        clients[engine], ready[engine] = Client(port), Client(health_port)
    try:
        for process, health in zip(processes, ready.values(), strict=True):
            wait_for_engine(
                lambda p=process, h=health: p.process.poll() is not None or h.answers("/health/ready"), "ready"
            )
            assert process.process.poll() is None, process.log()
        yield clients
    finally:
        for process in processes:
            process.end()


def both(engines: dict[str, Client], path: str, body: Json) -> tuple[tuple[int, Any], tuple[int, Any]]:
    with ThreadPoolExecutor(2) as threads:
        vllm, transformers = threads.map(lambda engine: engines[engine].ask(path, body), ENGINES)
    return vllm, transformers


def answer_of(choice: Json) -> str:
    return choice["message"]["content"] if "message" in choice else choice["text"]


@pytest.mark.parametrize(("path", "body"), ANSWERED, ids=lambda value: str(value)[:60])
def test_greedy_answers_usage_and_finish_reasons_are_equal(engines: dict[str, Client], path: str, body: Json) -> None:
    request = {"temperature": 0, **({"max_tokens": 40} if "max_completion_tokens" not in body else {}), **body}
    (_, vllm), (_, transformers) = both(engines, path, request)
    ours, theirs = transformers["choices"][0], vllm["choices"][0]
    assert answer_of(ours) == answer_of(theirs)
    assert ours["finish_reason"] == theirs["finish_reason"]
    assert transformers["usage"].items() <= vllm["usage"].items()


@pytest.mark.parametrize(("path", "body"), ANSWERED[:5:2], ids=lambda value: str(value)[:60])
def test_streams_carry_the_same_text_and_usage(engines: dict[str, Client], path: str, body: Json) -> None:
    request = {**body, "temperature": 0, "max_tokens": 40, "stream_options": {"include_usage": True}}
    streamed = {engine: list(client.stream(path, request)) for engine, client in engines.items()}
    texts, usages, reasons = [], [], []
    for events in streamed.values():
        choices = list(itertools.chain.from_iterable(event["choices"] for event in events[:-1]))
        texts.append("".join(choice["delta"].get("content") or "" for choice in choices))
        usages.append({key: events[-2]["usage"][key] for key in ("prompt_tokens", "completion_tokens")})
        reasons.append([choice["finish_reason"] for choice in choices if choice.get("finish_reason")])
        assert events[-1] == "[DONE]"
    assert texts[0] == texts[1]
    assert usages[0] == usages[1]
    assert reasons[0] == reasons[1]


def test_logprobs_are_equal_within_the_bound(engines: dict[str, Client]) -> None:
    request = {"prompt": "The three primary colours are", "temperature": 0, "max_tokens": 32, "logprobs": 5}
    (_, vllm), (_, transformers) = both(engines, COMPLETIONS, request)
    theirs, ours = (answer["choices"][0]["logprobs"] for answer in (vllm, transformers))
    assert ours["tokens"] == theirs["tokens"]
    assert ours["text_offset"] == theirs["text_offset"]
    assert ours["token_logprobs"] == pytest.approx(theirs["token_logprobs"], abs=LOGPROB_BOUND)
    for mine, other in zip(ours["top_logprobs"], theirs["top_logprobs"], strict=True):
        assert mine == pytest.approx({token: other[token] for token in mine}, abs=LOGPROB_BOUND)


def test_logprobs_of_chat_have_the_same_form(engines: dict[str, Client]) -> None:
    request = {"messages": USER, "temperature": 0, "max_tokens": 4, "logprobs": True, "top_logprobs": 2}
    (_, vllm), (_, transformers) = both(engines, CHAT, request)
    theirs, ours = (answer["choices"][0]["logprobs"]["content"] for answer in (vllm, transformers))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine["token"], mine["bytes"]) == (other["token"], other["bytes"])
        assert [top["token"] for top in mine["top_logprobs"]] == [top["token"] for top in other["top_logprobs"]]


@pytest.mark.parametrize(("path", "body", "status"), REFUSED, ids=lambda value: str(value)[:60])
def test_both_refuse_in_the_same_shape(engines: dict[str, Client], path: str, body: Json, status: int) -> None:
    (their_status, theirs), (our_status, ours) = both(engines, path, body)
    assert (their_status, our_status) == (status, status)
    assert ours["error"].keys() == theirs["error"].keys()
    assert ours["error"]["code"] == theirs["error"]["code"] == status
    assert theirs["error"]["type"] in (ours["error"]["type"], "Bad Request"), "the latter where its parser refuses"


@pytest.mark.parametrize(("path", "body", "theirs", "ours"), DIFFERENT, ids=lambda value: str(value)[:60])
def test_the_listed_differences_are_the_true_ones(
    engines: dict[str, Client], path: str, body: Json, theirs: int, ours: int
) -> None:
    vllm, transformers = both(engines, path, {"max_tokens": 4, **body})
    assert (vllm[0], transformers[0]) == (theirs, ours)


def test_both_list_the_same_model(engines: dict[str, Client]) -> None:
    listed = [client.ask("/v1/models")[1]["data"][0] for client in engines.values()]
    assert [(model["id"], model["max_model_len"]) for model in listed] == [(MODEL, CONTEXT)] * 2


def test_a_series_of_one_has_its_counterpart_in_the_other(engines: dict[str, Client]) -> None:
    only_transformers = {
        "iteration_batch_size",
        "kv_cache_reserved_perc",
        "request_errors_total",
        "model_load_seconds",
    }
    names = {}
    for engine, client in engines.items():
        client.ask(COMPLETIONS, {"prompt": "x", "max_tokens": 2})
        lines = client.exchange("/metrics")[2].decode().splitlines()
        series = {line.partition("{")[0].partition(" ")[0] for line in lines if line.startswith(f"{engine}:")}
        names[engine] = {name.removeprefix(f"{engine}:") for name in series if not name.endswith("_created")}
    unshared = {name for name in names["transformers"] - names["vllm"] if not name.startswith(tuple(only_transformers))}
    assert unshared == set()
