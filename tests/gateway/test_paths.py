"""The paths of the gateway, and the pages that may call them: a real Envoy between fakes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen_stack.specs.gateway.routes import Upstream

from .site import CHAT, KEY, ONE, TWO, TWO_NAMES, Site, eventually, needs_envoy, running

pytestmark = needs_envoy
PAGE = "https://chat.site.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}


@pytest.fixture
def open_to_a_page(tmp_path: Path, settings: Any) -> Iterator[Site]:
    with running(tmp_path, settings.gateway.model_copy(update={"cors_origins": (PAGE,)})) as here:
        here.add_model(ONE)
        eventually(lambda: here.model_servers() == 1)
        yield here


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/tokenize"])
def test_a_path_of_the_engine_has_the_rules_of_every_other(two_models: Site, path: str, settings: Any) -> None:
    answer = two_models.ask(path, {"model": "tiny"})
    assert (answer.status, answer.json["headers"]["x-qwen-client"]) == (200, "default")
    assert two_models.ask(path, {}, key=None).status == 401
    assert two_models.ask(path, b"x" * (settings.gateway.max_body_bytes + 1)).status == 413
    two_models.set_broken(ONE, True)
    assert [two_models.ask(path, {}).json["backend"] for _ in range(6)] == [TWO] * 6


def test_a_path_that_a_models_engine_lacks_is_refused_by_its_name(two_models: Site) -> None:
    answer = two_models.ask("/v1/responses", {"model": "tiny-second"})
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert answer.json["error"]["message"].startswith("The engine of tiny-second has no /v1/responses. It has " + CHAT)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses/resp_1", "/invocations", "/pause", "/metrics"])
def test_a_path_that_is_not_served_is_refused_with_what_is(two_models: Site, path: str) -> None:
    answer = two_models.ask(path, {})
    assert answer.status == 404
    assert all(word in answer.json["error"]["message"] for word in (CHAT, "/v1/responses", "tiny, tiny-second"))


def test_a_key_may_stand_where_clients_of_anthropic_put_it(two_models: Site) -> None:
    answer = two_models.ask("/v1/messages", {}, key=None, **{"x-api-key": KEY})
    assert answer.json["headers"]["x-qwen-client"] == "default"
    assert "x-api-key" not in answer.json["headers"]
    assert two_models.ask("/v1/messages", {}, key=None, **{"x-api-key": "another"}).status == 401


def test_a_page_of_a_listed_origin_may_ask_before_it_has_a_key(open_to_a_page: Site) -> None:
    answer = open_to_a_page.ask(CHAT, key=None, method="OPTIONS", Origin=PAGE, **ASKS)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in answer.headers["access-control-allow-headers"]


def test_a_listed_page_reads_answers_and_refusals(open_to_a_page: Site) -> None:
    answers = (
        open_to_a_page.ask(CHAT, {}, Origin=PAGE),
        open_to_a_page.ask(CHAT, {}, key=None, Origin=PAGE),
        open_to_a_page.ask("/v1/nothing", {}, Origin=PAGE),
        open_to_a_page.ask("/v1/models", Origin=PAGE),
    )
    assert [answer.status for answer in answers] == [200, 401, 404, 200]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [PAGE] * 4


def test_no_other_page_is_let_in(open_to_a_page: Site) -> None:
    other = "https://evil.example"
    asked = open_to_a_page.ask(CHAT, key=None, method="OPTIONS", Origin=other, **ASKS)
    sent = open_to_a_page.ask(CHAT, {}, Origin=other)
    assert not [answer for answer in (asked, sent) if "access-control-allow-origin" in answer.headers]
    assert asked.status == 401


def test_no_page_is_let_in_unless_the_stack_lists_it(two_models: Site) -> None:
    assert "access-control-allow-origin" not in two_models.ask(CHAT, {}, Origin=PAGE).headers


@pytest.mark.parametrize("others", [(), TWO_NAMES[1:]])
def test_a_model_answers_to_all_of_its_names_and_engines_know_one(
    tmp_path: Path, settings: Any, others: tuple[Upstream, ...]
) -> None:
    named = dataclasses.replace(TWO_NAMES[0], aliases=("coder", "gpt"))
    with running(tmp_path, settings.gateway, (*others, named)) as site:
        site.add_model(ONE)
        eventually(lambda: site.ask(CHAT, {"model": "tiny"}).status == 200)
        sent = json.dumps({"messages": [{"role": "user", "content": 'say "model": "coder"'}], "model": "coder", "n": 1})
        for body in (sent, sent.replace("coder", "gpt")):
            answer = site.ask(CHAT, body.encode())
            assert answer.json["backend"] == ONE
            assert answer.json["model"] == "tiny"
            assert answer.json["body_bytes"] == len(body) - len(json.loads(body)["model"]) + len("tiny")
        listed = [model["id"] for model in site.ask("/v1/models").json["data"]]
        assert listed == [*(other.served_as for other in others), "tiny", "coder", "gpt"]
        assert site.ask("/v1/models/gpt").json["max_model_len"] == named.max_model_len
