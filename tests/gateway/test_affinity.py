"""Conversations stay on the replica that knows their beginning: a real Envoy between fakes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from qwen_stack.specs.gateway import affinity

from .site import CHAT, FOUR, KEY, ONE, THREE, TWO, Site, eventually, needs_envoy

pytestmark = needs_envoy
REPLICAS = (ONE, TWO, THREE, FOUR)
SYSTEM = {"role": "system", "content": 'You are a coding agent.\n"Quote" and \\ are escaped. ' * 40}
Message = dict[str, Any]


@pytest.fixture
def four_models(site: Site) -> Site:
    for address in REPLICAS:
        site.add_model(address)
    eventually(lambda: site.model_servers() == len(REPLICAS))
    return site


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def parts(text: str, **of_the_part: Any) -> Message:
    return {"role": "user", "content": [{"type": "text", "text": text, **of_the_part}]}


def backend(site: Site, *messages: Message, key: str = KEY, body: Message | None = None, **headers: str) -> str:
    """The replica that answers a conversation."""
    answer = site.ask(CHAT, {"model": "tiny", "messages": messages, **(body or {})}, key=key, **headers)
    assert answer.status == 200
    return str(answer.json["backend"])


def attempts(site: Site) -> list[int]:
    """Attempts of each logged request."""
    return [int(request["attempts"]) for request in site.requests if request["path"] == CHAT]


def homes(site: Site, conversations: int = 40) -> dict[int, str]:
    """The replica of each conversation at its first turn."""
    return {number: backend(site, SYSTEM, user(f"task {number}")) for number in range(conversations)}


def test_all_turns_of_a_conversation_go_to_one_replica_and_conversations_to_all(four_models: Site) -> None:
    at_first = homes(four_models)
    assert set(at_first.values()) == set(REPLICAS)
    for number, home in at_first.items():
        history = [SYSTEM, user(f"task {number}"), {"role": "assistant", "content": "done"}, user("next")]
        assert backend(four_models, *history) == home


def test_two_gateways_choose_the_same_replica(four_models: Site, other_gateway: Site) -> None:
    eventually(lambda: other_gateway.model_servers() == len(REPLICAS))
    assert homes(other_gateway) == homes(four_models)


def test_a_replica_that_leaves_moves_hardly_more_than_its_share_and_takes_it_back(four_models: Site) -> None:
    before = homes(four_models, 80)
    four_models.leaving.add(TWO)
    four_models.list_models()
    eventually(lambda: four_models.model_servers() == 3)
    without = homes(four_models, 80)
    assert TWO not in without.values()
    of_others = [number for number, home in before.items() if home not in (TWO, without[number])]
    # Maglev moves 0.03 % of them, Envoy's ring 10 %.
    assert len(of_others) <= 1
    four_models.leaving.clear()
    four_models.list_models()
    eventually(lambda: four_models.model_servers() == len(REPLICAS))
    assert homes(four_models, 80) == before


def test_a_dead_replica_costs_its_conversations_one_try_and_others_none(four_models: Site) -> None:
    before = homes(four_models)
    four_models.models[THREE].kill()
    at_once = homes(four_models)
    assert THREE not in at_once.values()
    assert {number: home for number, home in at_once.items() if before[number] != THREE} == {
        number: home for number, home in before.items() if home != THREE
    }
    eventually(lambda: len(attempts(four_models)) == 2 * len(before))
    assert max(attempts(four_models)) == 2


def test_a_hot_conversation_overflows_to_other_replicas(site: Site) -> None:
    for address in REPLICAS:
        site.add_model(address, tokens=1000)
    eventually(lambda: site.model_servers() == len(REPLICAS))
    # Each stream has begun before the next one: Envoy counts a request from the time at which it has a connection.
    with ExitStack() as streams:
        for _ in range(24):
            streams.enter_context(site.stream(model="tiny", messages=[SYSTEM, user("hot")]))
        taken = [site.asked(address) for address in REPLICAS]
    # The mean is six, and its 150 % are nine: a replica that has no more gets one more.
    assert max(taken) <= 10
    assert sum(count > 0 for count in taken) >= 3


def test_a_clients_own_name_of_its_session_wins_over_what_it_says(four_models: Site) -> None:
    for header in affinity.CLIENT_HEADERS:
        assert len({backend(four_models, user(f"task {number}"), **{header: "one"}) for number in range(10)}) == 1
        assert len({backend(four_models, user("same"), **{header: f"s{number}"}) for number in range(10)}) > 1


def test_openais_key_for_the_prompt_cache_names_a_session_wherever_it_stands(four_models: Site) -> None:
    for filler in ("", "x" * 240_000):
        tasks = [user(f"task {number} {filler}") for number in range(12)]
        assert len({backend(four_models, task, body={"prompt_cache_key": "one"}) for task in tasks}) == 1
    quoted = {backend(four_models, user(f'"prompt_cache_key": "one" {number}')) for number in range(20)}
    assert len(quoted) > 1


def test_a_list_of_parts_counts_by_its_texts(four_models: Site) -> None:
    for number in range(12):
        home = backend(four_models, SYSTEM, user(f"task {number}"))
        assert backend(four_models, SYSTEM, parts(f"task {number}")) == home
        # Agents mark the last message for a cache, and take the mark away when another follows.
        assert backend(four_models, SYSTEM, parts(f"task {number}", cache_control={"type": "ephemeral"})) == home


def test_responses_and_messages_are_conversations_too(four_models: Site) -> None:
    def asked(path: str, **body: Any) -> str:
        return str(four_models.ask(path, {"model": "tiny", **body}).json["backend"])

    answered = {"role": "assistant", "content": "done"}
    rule = [{"type": "text", "text": "rule"}]
    for number in range(12):
        task = user(f"task {number}")
        listed = {"role": "user", "content": [{"type": "input_text", "text": f"task {number}"}]}
        turns = ([task], [listed], [task, answered, user("next")])
        assert len({asked("/v1/responses", instructions="rule", input=turn) for turn in turns}) == 1
        assert len({asked("/v1/messages", system=rule, messages=turn) for turn in (turns[0], turns[2])}) == 1
    assert len({asked("/v1/responses", instructions="rule", input=f"task {n}") for n in range(20)}) > 1
    assert len({asked("/v1/messages", system=f"rule {n}", messages=[user("task")]) for n in range(20)}) > 1


def test_keys_with_the_same_conversation_are_spread(four_models: Site) -> None:
    for_default, for_second = (
        [backend(four_models, user(f"task {number}"), key=key) for number in range(20)] for key in (KEY, KEY[::-1])
    )
    assert for_default != for_second


def test_a_growing_prompt_of_a_completion_stays(four_models: Site) -> None:
    def asked(prompt: Any) -> str:
        return str(four_models.ask("/v1/completions", {"model": "tiny", "prompt": prompt}).json["backend"])

    for number in range(12):
        beginning = f"file {number} " * 400
        assert len({asked(prompt) for prompt in (beginning, beginning + "more", [beginning])}) == 1
    assert len({asked(f"file {number}") for number in range(20)}) > 1


def test_the_value_that_chooses_a_replica_cannot_be_set_by_a_client(four_models: Site) -> None:
    forged = {"X-Qwen-Session": "mine"}
    sent = [{"messages": [user("a")]}, {"messages": []}, b"no json"]
    seen = [four_models.ask(CHAT, body, **forged).json["headers"].get("x-qwen-session") for body in sent]
    assert "mine" not in seen
    assert seen[0] is not None
    eventually(lambda: len(four_models.requests) >= len(sent))
    assert [request["session"] for request in four_models.requests if request["path"] == CHAT] == seen


def test_a_body_without_a_conversation_is_answered_by_any_replica(four_models: Site) -> None:
    bodies: list[Any] = [
        b"\xff",
        b"{" * 20_000,
        b"]}" * 1000,
        b'{"messages": [{"role": "user", "content": "cut',
        b'{"messages": [{"role": "user", "content": "\\',
        b'"' * 5000,
        {"messages": None},
        {"messages": [[["a"]]]},
        {"prompt": [1, 2, 3]},
        {"input": {"text": "a"}, "system": [["b"]]},
    ]
    for body in bodies:
        assert four_models.ask(CHAT, body).status == 200, body
    assert "script log" not in four_models.log.read_text()
