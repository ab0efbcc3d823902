"""Entries that share a name behind a real Envoy: weights, conversations that stay, and a header that asks for one."""

from __future__ import annotations

import contextlib
import http.client
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.engine.registry import servers

from qwen_stack.specs.gateway import workload as specs
from qwen_stack.specs.gateway.routes import Upstream
from qwen_stack.specs.gateway.weights import SERVERS_FILE, SHARE, WEIGHTS_FILE

from .site import CHAT, ONE, THREE, TWO, Site, eventually, mount, needs_envoy, running

pytestmark = needs_envoy
VLLM, REFERENCE = servers()["vllm"].PATHS, servers()["transformers"].PATHS
ASKED = 200


def entries(old: int, new: int) -> tuple[Upstream, ...]:
    return (
        Upstream("model-server", "tiny", "models.test", 2048, VLLM, "old", old),
        Upstream("model-server-new", "tiny", "variant.test", 1024, REFERENCE, "new", new),
    )


@pytest.fixture
def split(tmp_path: Path, settings: Any) -> Iterator[Site]:
    """A gateway with an old entry of two replicas and 80 %, and a new one of one replica and 20 %."""
    with running(tmp_path, settings.gateway, entries(80, 20)) as site:
        site.variants.add(THREE)
        for address in (ONE, TWO, THREE):
            site.add_model(address)
        eventually(lambda: site.ask(CHAT, {}, **{"X-Qwen-Variant": "new"}).status == 200)
        eventually(lambda: site.model_servers() == 2)
        yield site


def answered(site: Site, count: int = ASKED) -> dict[str, str | None]:
    """The replica of each session; None where the gateway refused, as it may while it learns of a change."""
    sessions = [f"s{number}" for number in range(count)]
    return {session: site.ask(CHAT, {}, **{"X-Session-Id": session}).json.get("backend") for session in sessions}


def test_sessions_are_shared_out_by_the_weights_and_stay(split: Site) -> None:
    first = answered(split)
    # Within four standard deviations of 40 of 200.
    assert 17 <= Counter(first.values())[THREE] <= 63
    assert set(first.values()) == {ONE, TWO, THREE}
    assert answered(split) == first


def test_a_weight_that_grows_takes_sessions_and_gives_none(split: Site) -> None:
    before = answered(split)
    split.write_weights(entries(50, 50))
    eventually(lambda: Counter(answered(split).values())[THREE] > Counter(before.values())[THREE])
    after = answered(split)
    moved = {session for session in before if before[session] != after[session]}
    assert {after[session] for session in moved} == {THREE}


def test_going_back_reaches_a_running_gateway_and_cuts_no_stream(tmp_path: Path, settings: Any) -> None:
    with running(tmp_path, settings.gateway, entries(0, 100)) as site:
        site.variants.add(TWO)
        site.add_model(ONE)
        site.add_model(TWO, tokens=80, token_delay=0.1)
        for variant in ("old", "new"):
            eventually(lambda variant=variant: site.ask(CHAT, {}, **{"X-Qwen-Variant": variant}).status == 200)  # type: ignore[misc]
        with site.stream() as stream:
            assert stream.readline()
            site.write_weights(entries(100, 0))
            eventually(lambda: set(answered(site, 20).values()) == {ONE})
            assert stream.read().count(b"delta") == 79
        assert site.gateway.poll() is None


def test_who_stands_in_for_an_entry_changes_with_the_weights(split: Site) -> None:
    split.write_weights(entries(100, 0))
    eventually(lambda: set(answered(split, 40).values()) == {ONE, TWO})
    for address in (ONE, TWO):
        split.set_ready(address, False)
    eventually(lambda: split.ask(CHAT, {}).status == 503)
    split.write_weights(entries(99, 1))
    eventually(lambda: set(answered(split, 20).values()) == {THREE})


def test_a_gateway_whose_weights_are_unreadable_keeps_those_of_before(split: Site) -> None:
    before = answered(split, 40)
    mount(split.folder / "weights", "broken", {WEIGHTS_FILE: "{", SERVERS_FILE: ""})
    eventually(lambda: "config update failure" in split.log.read_text())
    assert answered(split, 40) == before


def test_a_new_gateway_gets_no_request_before_it_knows_a_replica_of_each_entry(tmp_path: Path, settings: Any) -> None:
    with running(tmp_path, settings.gateway, entries(100, 0)) as site:
        site.variants.add(TWO)
        assert not lets_requests_in(site)
        site.add_model(ONE)
        eventually(lambda: lets_requests_in(site))
        site.write_weights(entries(50, 50))
        assert not lets_requests_in(site)
        site.add_model(TWO)
        eventually(lambda: lets_requests_in(site))
        assert site.ask(CHAT, {}).status == 200


def test_a_new_gateway_serves_after_a_while_though_no_replica_is_ready(site: Site) -> None:
    assert not lets_requests_in(site)
    eventually(lambda: lets_requests_in(site, within_s=1))
    assert site.ask(CHAT, {}).json["error"]["code"] == "model_unavailable"


def lets_requests_in(site: Site, within_s: int = 600) -> bool:
    """Whether the probes of a gateway that starts succeed, as the kubelet asks them."""
    started = ["bash", "-c", specs.start_script(str(site.folder / "weights"), site.admin_port, within_s)]
    return subprocess.run(started, check=False).returncode == 0 and site.probe("/readyz") == 200


def test_a_header_asks_for_one_variant_and_the_answer_names_it(split: Site) -> None:
    for variant, replicas in (("old", {ONE, TWO}), ("new", {THREE})):
        answers = [
            split.ask(CHAT, {}, **{"X-Qwen-Variant": variant, "X-Session-Id": f"s{number}"}) for number in range(10)
        ]
        assert {answer.json["backend"] for answer in answers} == replicas
        assert {answer.headers["x-qwen-variant"] for answer in answers} == {variant}
    refused = split.ask(CHAT, {}, **{"X-Qwen-Variant": "newer"})
    assert refused.status == 400
    assert "old, new" in refused.json["error"]["message"]


def test_answers_and_log_name_the_variant_that_answered(split: Site) -> None:
    names = {ONE: "old", TWO: "old", THREE: "new"}
    answers = [split.ask(CHAT, {}, **{"X-Session-Id": f"s{number}"}) for number in range(30)]
    assert {answer.headers["x-qwen-variant"] for answer in answers} == {"old", "new"}
    assert all(answer.headers["x-qwen-variant"] == names[answer.json["backend"]] for answer in answers)
    eventually(lambda: sum(request["session"] is not None for request in split.requests) >= 30)
    for request in split.requests:
        if request["server"]:
            assert request["variant"] == names[request["server"].partition(":")[0]]


def test_an_entry_gets_nothing_while_no_replica_of_it_is_ready(split: Site) -> None:
    split.set_ready(THREE, False)
    eventually(lambda: split.ask(CHAT, {}, **{"X-Qwen-Variant": "new"}).status == 503)
    assert set(answered(split, 60).values()) == {ONE, TWO}
    for address in (ONE, TWO):
        split.set_ready(address, False)
    split.set_ready(THREE, True)
    eventually(lambda: split.model_servers() == 0)
    eventually(lambda: split.ask(CHAT, {}, **{"X-Qwen-Variant": "new"}).status == 200)
    assert set(answered(split, 20).values()) == {THREE}


def test_an_entry_keeps_its_share_while_one_replica_of_it_is_ready(split: Site) -> None:
    before = answered(split, 60)
    split.set_ready(ONE, False)
    eventually(lambda: split.model_servers() == 1)
    assert answered(split, 60) == {session: TWO if home == ONE else home for session, home in before.items()}


def test_an_entry_that_dies_costs_no_request(split: Site) -> None:
    split.models[THREE].kill()
    assert set(answered(split, 60).values()) == {ONE, TWO}
    eventually(lambda: split.ask(CHAT, {}, **{"X-Qwen-Variant": "new"}).status == 503)
    assert set(answered(split, 60).values()) == {ONE, TWO}


def test_an_entry_whose_replicas_are_broken_costs_no_request(split: Site) -> None:
    split.set_broken(THREE, True)
    assert set(answered(split, 60).values()) == {ONE, TWO}


def test_an_entry_without_weight_answers_only_who_asks_for_it(tmp_path: Path, settings: Any) -> None:
    with running(tmp_path, settings.gateway, entries(100, 0)) as site:
        site.variants.add(TWO)
        site.add_model(ONE)
        site.add_model(TWO)
        eventually(lambda: site.model_servers() == 1)
        eventually(lambda: site.ask(CHAT, {}, **{"X-Qwen-Variant": "new"}).status == 200)
        assert set(answered(site, 40).values()) == {ONE}
        site.models[ONE].kill()
        eventually(lambda: site.model_servers() == 0)
        assert site.ask(CHAT, {}).status == 503
        assert site.ask(CHAT, {}, **{"X-Qwen-Variant": "new"}).json["backend"] == TWO


def test_a_name_with_two_entries_is_listed_once_with_the_shorter_context_and_common_paths(split: Site) -> None:
    [listed] = split.ask("/v1/models").json["data"]
    assert (listed["id"], listed["max_model_len"]) == ("tiny", 1024)
    assert split.ask("/v1/models/tiny").json == listed
    refused = split.ask("/v1/responses", {"model": "tiny"})
    assert (refused.status, refused.json["error"]["code"]) == (404, "not_found")


def test_requests_are_counted_for_the_entry_that_answered(split: Site) -> None:
    before = completed(split)
    shares = {ONE: "model-server/model-server-new", THREE: "model-server-new/model-server"}
    answers = Counter(SHARE + shares.get(replica, shares[ONE]) for replica in answered(split, 30).values())
    counted = Counter(completed(split)) - Counter(before)
    assert {name: count for name, count in counted.items() if name != "admin"} == answers


def completed(site: Site) -> dict[str, int]:
    """Answered requests of each of Envoy's clusters, as Prometheus reads them."""
    connection = http.client.HTTPConnection("127.0.0.1", site.metrics_port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    pattern = r'^envoy_cluster_upstream_rq_completed{envoy_cluster_name="([^"]+)"} (\d+)$'
    return {name: int(value) for name, value in re.findall(pattern, text, re.MULTILINE)}
