"""The key between gateway and engines, in a real Envoy: who sends it, and how it changes."""

from __future__ import annotations

import contextlib
import http.client

from qwen_stack.specs import engine_keys

from .site import CHAT, ENGINE_KEY, KEY, ONE, Site, eventually, needs_envoy

pytestmark = needs_envoy
NEXT = "the-next-key-of-engines-for-tests"


def around(site: Site, **headers: str) -> int:
    """Status of a request that goes to a model server without the gateway."""
    connection = http.client.HTTPConnection(ONE, site.model_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", CHAT, b"{}", headers)
        return connection.getresponse().status


def test_a_way_around_the_gateway_needs_more_than_a_clients_key(two_models: Site) -> None:
    assert two_models.ask(CHAT, {}).status == 200
    assert [around(two_models), around(two_models, Authorization=f"Bearer {KEY}")] == [401, 401]


def test_the_key_changes_under_load_without_a_restart_or_a_failure(two_models: Site) -> None:
    """The three steps of docs/operate/certificates.md."""
    statuses = []

    def sent(key: str) -> bool:
        answer = two_models.ask(CHAT, {})
        statuses.append(answer.status)
        return bool(answer.json["headers"]["authorization"] == f"Bearer {key}")

    two_models.accepted_keys.write_text(engine_keys.digests([ENGINE_KEY, NEXT]))
    assert sent(ENGINE_KEY)
    two_models.write_engine_key(NEXT)
    eventually(lambda: sent(NEXT))
    two_models.accepted_keys.write_text(engine_keys.digests([NEXT]))
    assert sent(NEXT)
    assert set(statuses) == {200}
