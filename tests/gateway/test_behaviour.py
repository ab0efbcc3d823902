"""The rendered configuration in a real Envoy, with fake model servers that a fake DNS lists."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from typing import Any

import pytest

from qwen_stack.specs.gateway import workload as specs

from .site import CHAT, ENGINE_KEY, KEY, ONE, TWO, Answer, Site, accepts, eventually, needs_envoy

pytestmark = needs_envoy


def post(header: str) -> bytes:
    return f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n{header}\r\n\r\n".encode()


def repeated(site: Site) -> list[dict[str, Any]]:
    """Logged requests that needed more than one attempt."""
    return [request for request in site.requests if request["attempts"] > 1]


def test_a_request_without_a_known_key_is_refused_in_the_shape_of_openai(two_models: Site) -> None:
    for key in (None, "wrong", KEY + "x", KEY[:-1], ""):
        answer = two_models.ask(CHAT, {"messages": []}, key=key)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json["error"]["code"] == "invalid_api_key"
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert two_models.ask(CHAT, {}, key=None, Authorization=f"Basic {KEY}").status == 401


def test_the_model_server_learns_the_name_of_the_key_and_not_the_key(two_models: Site) -> None:
    headers = two_models.ask(CHAT, {}, key=KEY[::-1], **{"X-Qwen-Client": "default"}).json["headers"]
    assert headers["x-qwen-client"] == "second"
    assert headers["authorization"] == f"Bearer {ENGINE_KEY}"
    assert KEY[::-1] not in json.dumps(headers)


def test_no_key_is_logged(two_models: Site) -> None:
    for path in (CHAT, f"{CHAT}?api_key={KEY}", f"/else?{KEY}"):
        two_models.ask(path, {})
    eventually(lambda: '"status":404' in two_models.log.read_text())
    text = two_models.log.read_text()
    assert KEY not in text
    assert {request["client"] for request in two_models.requests} == {"default"}


def test_only_the_listed_paths_and_methods_pass(two_models: Site) -> None:
    assert two_models.ask("/v1/models").status == 200
    for path in ("/", "/metrics", "/v1/embeddings", "/v1/models/../../metrics", "//v1/models", "/v1/chat/completions/"):
        answer = two_models.ask(path)
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found"), path
    assert two_models.ask(CHAT).headers["allow"] == "POST"
    assert two_models.ask("/v1/models", {}).headers["allow"] == "GET"


def test_a_variant_is_asked_for_by_its_name_and_listed(site: Site) -> None:
    site.variants.add(TWO)
    site.add_model(ONE)
    site.add_model(TWO)
    eventually(lambda: site.ask(CHAT, {"model": "tiny-second"}).status == 200)
    backends = {name: site.ask(CHAT, {"model": name}).json["backend"] for name in ("tiny", "tiny-second", "unknown")}
    assert backends == {"tiny": ONE, "tiny-second": TWO, "unknown": ONE}
    for body in (
        b'{"model": ["tiny-second"]}',
        b"[1]",
        b"\xff",
        b'{"messages": "tiny-second"}',
    ):
        assert site.ask(CHAT, body).json["backend"] == ONE, body
    listed = {model["id"]: model["max_model_len"] for model in site.ask("/v1/models").json["data"]}
    assert listed == {"tiny": 2048, "tiny-second": 1024}


@pytest.mark.parametrize("filler", ["x", '"', "\\"])
def test_a_name_is_read_wherever_a_long_body_is_cut(site: Site, filler: str) -> None:
    site.variants.add(TWO)
    site.add_model(ONE)
    site.add_model(TWO)
    eventually(lambda: site.ask(CHAT, {"model": "tiny-second"}).status == 200)
    for length in range(65_440, 65_540):
        content = filler * (length // (len(json.dumps(filler)) - 2)) + "x" * (length % 2)
        body = {"messages": [{"role": "user", "content": content}], "model": "tiny-second", "stop": [content]}
        assert site.ask(CHAT, body).json["backend"] == TWO, length


def test_oversized_headers_and_late_bodies_get_the_same_shape(two_models: Site) -> None:
    large = two_models.ask("/v1/models", **{"X-Large": "x" * 20000})
    assert (large.status, large.json["error"]["type"]) == (400, "invalid_request_error")
    late = two_models.send(post("Content-Length: 9"))
    assert late.startswith(b"HTTP/1.1 408")
    assert json.loads(late.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def test_a_body_up_to_the_limit_passes_and_a_larger_one_does_not(two_models: Site, settings: Any) -> None:
    limit = settings.gateway.max_body_bytes
    assert two_models.ask(CHAT, b"x" * limit).json["body_bytes"] == limit
    refusal = two_models.ask(CHAT, b"x" * (limit + 1))
    assert (refusal.status, refusal.json["error"]["code"]) == (413, "context_length_exceeded")
    assert "maximum context length is 2048 tokens" in refusal.json["error"]["message"]


def test_a_body_of_unknown_length_meets_the_same_limit(two_models: Site, settings: Any) -> None:
    limit = settings.gateway.max_body_bytes
    for size, status in ((limit, b"200"), (limit + 1, b"413"), (3 * limit, b"413")):
        sizes = [n for n in [4096] * (size // 4096) + [size % 4096] if n]
        chunks = b"".join(b"%x\r\n%b\r\n" % (n, b"x" * n) for n in sizes)
        answer = two_models.send(post("Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status), size


def test_every_answer_has_a_request_id_of_the_gateways_own(two_models: Site) -> None:
    answers = [two_models.ask(CHAT, {}, **{"X-Request-Id": "mine"}) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert {answer.json["headers"]["x-request-id"] for answer in answers} == ids
    assert "x-request-id" in two_models.ask("/nowhere").headers


def test_a_client_cannot_set_the_gateways_limits_by_envoys_own_headers(site: Site) -> None:
    site.add_model(ONE, delay=0.5)
    eventually(lambda: site.model_servers() == 1)
    answer = site.ask(CHAT, {}, **{"X-Envoy-Upstream-Rq-Timeout-Ms": "1", "X-Envoy-Max-Retries": "50"})
    assert answer.status == 200
    assert not {name for name in answer.json["headers"] if name.startswith("x-envoy-up") or "retries" in name}


def test_health_follows_the_model_servers_and_asks_for_no_key(site: Site) -> None:
    down = site.ask("/health", key=None)
    assert (down.status, down.headers["retry-after"]) == (503, "5")
    assert site.ask(CHAT, {}).json["error"]["code"] == "model_unavailable"
    site.add_model(ONE)
    eventually(lambda: site.model_servers() == 1)
    site.set_ready(ONE, ready=False)
    eventually(lambda: site.model_servers() == 0)
    site.set_ready(ONE, ready=True)
    eventually(lambda: site.model_servers() == 1)


def written(site: Site, query: str = "") -> str:
    """The gateway's metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", site.metrics_port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", f"/metrics{query}")
        return connection.getresponse().read().decode()


def test_the_gateways_own_health_and_metrics_do_not_need_a_model_server(site: Site) -> None:
    assert site.ask(CHAT, {}).status == 503
    connection = http.client.HTTPConnection("127.0.0.1", site.metrics_port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read() is not None) == (200, True)
    text = written(site, "?usedonly=")
    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="5",envoy_http_conn_manager_prefix="api"}' in text
    assert "envoy_cluster_upstream_rq_retry" not in text


def test_tokens_arrive_as_they_are_made(site: Site) -> None:
    site.add_model(ONE, tokens=4, token_delay=0.4)
    eventually(lambda: site.model_servers() == 1)
    with site.stream() as response:
        times_s = [(json.loads(line[6:])["sent_s"], time.time()) for line in response if line.startswith(b"data: {")]
    assert len(times_s) == 4
    first_received_s, last_sent_s = times_s[0][1], times_s[-1][0]
    assert first_received_s < last_sent_s, f"tokens were held back; sent and received at {times_s}"


def test_a_killed_model_server_fails_no_request_that_had_not_begun_streaming(site: Site) -> None:
    site.add_model(ONE, delay=20)
    site.add_model(TWO)
    eventually(lambda: site.model_servers() == 2)
    answers: list[Answer] = []
    askers = [threading.Thread(target=lambda: answers.append(site.ask(CHAT, {"n": "x" * 20000}))) for _ in range(8)]
    for asker in askers:
        asker.start()
    # The quick server has answered some requests; the slow one, with fewer connections in between, got the others.
    eventually(lambda: len(answers) > 0)
    time.sleep(1)
    assert any(asker.is_alive() for asker in askers)
    site.models[ONE].kill()
    # DNS still lists the dead server: the retry must not depend on its removal.
    answers.append(site.ask(CHAT, {}))
    for asker in askers:
        asker.join()
    assert [answer.status for answer in answers] == [200] * 9
    assert {answer.json["backend"] for answer in answers} == {TWO}
    eventually(lambda: len(repeated(site)) > 0)


def test_the_largest_accepted_body_is_retried_too(site: Site, settings: Any) -> None:
    site.add_model(ONE, delay=20)
    eventually(lambda: site.model_servers() == 1)
    answers: list[Answer] = []
    body = b"x" * settings.gateway.max_body_bytes
    asker = threading.Thread(target=lambda: answers.append(site.ask(CHAT, body)))
    asker.start()
    time.sleep(0.5)
    site.add_model(TWO)
    eventually(lambda: site.model_servers() == 2)
    site.models[ONE].kill()
    asker.join()
    assert (answers[0].status, answers[0].json["body_bytes"]) == (200, len(body))
    assert answers[0].json["backend"] == TWO


CUT = 'envoy_http_downstream_rq_tx_reset{envoy_http_conn_manager_prefix="api"} 1\n'


def test_a_stream_that_had_begun_is_cut_and_not_repeated(site: Site) -> None:
    site.add_model(ONE, tokens=50, token_delay=0.2)
    eventually(lambda: site.model_servers() == 1)
    with site.stream() as left:
        left.readline()
    with site.stream() as response:
        response.readline()
        site.models[ONE].kill()
        rest = b""
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            rest = response.read()
    assert b"[DONE]" not in rest
    # It began with 200, which alone would count as well; the one whose client left is nobody's failure here.
    eventually(lambda: CUT in written(site))


def test_a_stopping_gateway_finishes_the_streams_that_it_has(site: Site, settings: Any) -> None:
    site.add_model(ONE, tokens=12, token_delay=0.3)
    eventually(lambda: site.model_servers() == 1)
    with site.stream() as response:
        response.readline()
        hook = site.start("bash", "-c", specs.stop_script(settings.gateway, site.admin_port, withdrawal_s=1))
        eventually(lambda: not accepts("127.0.0.1", site.api_port))
        assert accepts("127.0.0.1", site.metrics_port), "a gateway that drains must not fail its liveness"
        assert hook.poll() is None
        assert b"[DONE]" in response.read()
    assert hook.wait(timeout=60) == 0, "the pod may end once its last stream has"
