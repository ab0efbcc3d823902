"""A client gets what the model says, whatever else the server answers at the same time."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import CHAT, COMPLETIONS, Client, Json
from tests.support.oracle import CONTEXT

GREEDY: Json = {"prompt": "To be, or not", "temperature": 0, "max_tokens": 24, "ignore_eos": True}
HOT: Json = {**GREEDY, "temperature": 1.5}
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
RENDERED = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
Oracle = tuple[Path, list[Json]]


def complete(client: Client, body: Json, **fields: Any) -> Json:
    status, answer = client.ask(COMPLETIONS, {**body, **fields})
    assert status == 200, answer
    return answer


def text(client: Client, body: Json, **fields: Any) -> str:
    return complete(client, body, **fields)["choices"][0]["text"]


def at_once(client: Client, bodies: list[Json]) -> list[str]:
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda body: text(client, body), bodies))


def test_greedy_answers_are_those_of_generate_alone_and_together(client: Client, oracle: Oracle) -> None:
    _, known = oracle
    bodies = [{**GREEDY, "prompt": each["prompt"], "max_tokens": len(each["answer"])} for each in known]
    expected = [each["text"] for each in known]
    assert at_once(client, bodies[:5]) == expected[:5]
    assert [text(client, body) for body in bodies] == expected, "the second time their prompts are in the cache"


def test_a_greedy_answer_is_not_touched_by_hot_ones_beside_it(client: Client) -> None:
    alone = text(client, GREEDY)
    together = at_once(client, [GREEDY, *({**HOT, "seed": seed} for seed in range(4))])
    assert together[0] == alone
    assert len(set(together)) == 5


def test_a_seed_gives_the_same_answer_alone_and_in_a_batch(client: Client) -> None:
    alone = text(client, HOT, seed=7)
    together = at_once(client, [{**HOT, "seed": 7}, {**HOT, "seed": 8}, GREEDY, {**HOT, "seed": 7}])
    assert together[0] == together[3] == alone
    assert text(client, HOT, seed=-(2**63)) == text(client, HOT, seed=-(2**63))


def test_without_a_seed_answers_differ(client: Client) -> None:
    assert len({text(client, HOT) for _ in range(3)}) > 1


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-4}], ids=str)
def test_the_narrowest_sampling_is_greedy(client: Client, narrow: Json) -> None:
    assert text(client, HOT, **narrow) == text(client, GREEDY)


def test_each_sampled_token_is_one_of_the_likeliest_k(client: Client) -> None:
    logprobs = complete(client, HOT, top_k=3, seed=1, logprobs=3)["choices"][0]["logprobs"]
    places = [sorted(top, key=top.__getitem__, reverse=True).index(token) for token, top in tokens_with_top(logprobs)]
    assert set(places) == {0, 1, 2}


def tokens_with_top(logprobs: Json) -> list[tuple[str, dict[str, float]]]:
    return list(zip(logprobs["tokens"], logprobs["top_logprobs"], strict=True))


def test_samples_have_the_probabilities_of_the_model(client: Client) -> None:
    first = {**GREEDY, "max_tokens": 1, "logprobs": 20, "temperature": 1}
    [top] = complete(client, first, seed=0)["choices"][0]["logprobs"]["top_logprobs"]
    token, logprob = max(top.items(), key=lambda item: item[1])
    expected = math.exp(logprob)
    bodies = [{**first, "logprobs": None, "seed": seed} for seed in range(300)]
    with ThreadPoolExecutor(4) as threads:
        share = sum(threads.map(lambda body: text(client, body) == token, bodies)) / len(bodies)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(bodies)))


def test_penalties_change_the_answer_as_they_say(client: Client) -> None:
    plain = text(client, GREEDY, max_tokens=40)
    assert len(set(plain)) < len(plain), "the plain answer repeats itself, or this shows nothing"
    once = text(client, GREEDY, max_tokens=40, presence_penalty=2, frequency_penalty=2, repetition_penalty=10.0)
    assert len(set(once)) > len(set(plain))


def test_an_end_token_ends_the_answer_and_counts_but_is_no_text(client: Client) -> None:
    request = {"messages": MESSAGES, "temperature": 1, "max_tokens": 400}
    for seed in range(40):
        _, answer = client.ask(CHAT, {**request, "seed": seed})
        choice = answer["choices"][0]
        assert "<|" not in choice["message"]["content"]
        if choice["finish_reason"] == "stop":
            return
    pytest.fail("no answer ended by itself")


def test_stop_strings_end_the_answer_before_them_across_tokens(client: Client) -> None:
    whole = text(client, GREEDY)
    stop = whole[10:13]
    answer = complete(client, GREEDY, stop=["never found", stop])
    cut = whole.index(stop)
    assert answer["choices"][0]["text"] == whole[:cut]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == cut + len(stop), "tokens are letters here; those of the stop count"
    streamed = list(client.stream(COMPLETIONS, {**GREEDY, "stop": stop}))
    assert joined(streamed) == whole[:cut]


def test_what_only_begins_like_a_stop_string_is_not_lost(client: Client) -> None:
    whole = text(client, GREEDY)
    assert text(client, GREEDY, stop=whole[-2:] + "~~") == whole


def joined(events: list[Any]) -> str:
    choices = itertools.chain.from_iterable(event["choices"] for event in events if event != "[DONE]")
    return "".join(choice.get("text", choice.get("delta", {}).get("content", "")) for choice in choices)


def test_a_stream_says_what_the_whole_answer_says(client: Client) -> None:
    request = {"messages": MESSAGES, "temperature": 0, "max_completion_tokens": 20, "ignore_eos": True}
    _, whole = client.ask(CHAT, request)
    events = list(client.stream(CHAT, {**request, "stream_options": {"include_usage": True}}))
    assert events[-1] == "[DONE]"
    assert joined(events) == whole["choices"][0]["message"]["content"]
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-3]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "length"
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == whole["usage"]
    assert len({event["id"] for event in events[:-1]}) == 1
    assert not [event for event in client.stream(CHAT, request) if "usage" in event], "usage only where it is asked for"


def test_the_chat_template_is_the_models(client: Client) -> None:
    _, chat = client.ask(CHAT, {"messages": MESSAGES, "temperature": 0, "max_tokens": 20, "ignore_eos": True})
    same = complete(client, GREEDY, prompt=RENDERED, max_tokens=20)
    assert chat["choices"][0]["message"]["content"] == same["choices"][0]["text"]
    assert chat["usage"] == same["usage"]


def test_the_parts_of_a_message_are_joined_by_lines(client: Client) -> None:
    request = {"temperature": 0, "max_tokens": 20, "ignore_eos": True}
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    contents = (parts, "Hel\nlo")
    answers = [client.ask(CHAT, {**request, "messages": [{"role": "user", "content": each}]})[1] for each in contents]
    assert answers[0]["usage"] == answers[1]["usage"]
    assert answers[0]["choices"] == answers[1]["choices"]


def test_logprobs_are_the_models_own_whatever_the_temperature(client: Client) -> None:
    _, cold = client.ask(CHAT, {"messages": MESSAGES, "temperature": 0, "max_tokens": 1, "logprobs": True})
    _, hot = client.ask(
        CHAT, {"messages": MESSAGES, "temperature": 2, "max_tokens": 1, "logprobs": True, "top_logprobs": 1}
    )
    [likeliest] = cold["choices"][0]["logprobs"]["content"]
    [sampled] = hot["choices"][0]["logprobs"]["content"]
    assert sampled["top_logprobs"][0]["logprob"] == pytest.approx(likeliest["logprob"], abs=1e-5)
    assert likeliest["top_logprobs"] == []
    assert likeliest["logprob"] < 0


def test_text_of_several_bytes_arrives_in_whole_characters(client: Client) -> None:
    status, answer = client.ask(CHAT, {"messages": [{"role": "user", "content": "你好 \x00\x1b 😀"}], "max_tokens": 2})
    assert status == 200
    assert answer["usage"]["prompt_tokens"] > len("你好 😀".encode())


def test_the_model_is_listed_and_its_counters_move(client: Client) -> None:
    _, models = client.ask("/v1/models")
    assert [(model["id"], model["max_model_len"]) for model in models["data"]] == [("tiny", CONTEXT)]
    counted = ("prompt_tokens_total", "generation_tokens_total", "iteration_tokens_total_sum", "model_load_seconds")
    before = {name: client.metric(f"transformers:{name}") for name in counted}
    usage = complete(client, GREEDY)["usage"]
    after = {name: client.metric(f"transformers:{name}") for name in counted}
    assert after["prompt_tokens_total"] - before["prompt_tokens_total"] == usage["prompt_tokens"]
    assert after["generation_tokens_total"] - before["generation_tokens_total"] == usage["completion_tokens"]
    assert after["iteration_tokens_total_sum"] > before["iteration_tokens_total_sum"]
    for histogram in ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "request_queue_time"):
        assert client.metric(f"transformers:{histogram}_seconds_count") > 0
    assert client.metric("transformers:request_success_total", finished_reason="length") > 0
