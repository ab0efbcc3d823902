"""The gateway's manifests, and the sizes that its configuration computes."""

import hashlib
import json
import re
from typing import Any

import pytest

from qwen_stack.specs import gateway, haproxy, model_server

MIB = 2**20


@pytest.mark.parametrize("body", [4096, 262_144, 1_000_000, 16_777_216])
def test_a_buffer_holds_the_largest_body_and_its_headers(settings: Any, body: int) -> None:
    size = haproxy.buffer_bytes(settings.gateway.model_copy(update={"max_body_bytes": body}))
    assert size >= body + 16_384 + 4096
    assert size % 16_384 == 0
    assert size < 256 * MIB


def test_the_memory_limit_covers_every_connection_with_both_buffers(settings: Any) -> None:
    g = settings.gateway
    assert gateway.memory_mib(g) * MIB > 2 * g.max_connections * haproxy.buffer_bytes(g)


def test_the_upstream_is_the_model_servers_discovery_service(settings: Any) -> None:
    config = haproxy.configuration(settings.gateway, haproxy.route(settings))
    name = model_server.discovery(settings.models[0])["metadata"]["name"]
    assert f" {name}.qwen.svc.cluster.local:8080 check port 8081 " in config


def test_every_error_body_is_json_in_the_shape_of_openai(settings: Any) -> None:
    config = haproxy.configuration(settings.gateway, haproxy.route(settings))
    bodies = re.findall(r" string '([^']*)'", config)
    errors = [json.loads(body)["error"] for body in bodies if "error" in body]
    assert len(errors) > 8
    assert all(set(error) == {"message", "type", "param", "code"} for error in errors)


def test_retries_are_as_configured_and_never_for_slow_answers(settings: Any) -> None:
    config = haproxy.configuration(settings.gateway.model_copy(update={"retries": 1}), haproxy.route(settings))
    assert "\n    retries 1\n" in config
    rules = re.findall(r"retry-on (.*)", config)
    assert len(rules) == len(settings.models)
    assert all(set(conditions.split()) == {"conn-failure", "empty-response", "503"} for conditions in rules)


def test_the_map_holds_digests_and_names() -> None:
    text = gateway.clients_map({"b": "key-b", "a": "key-a"})
    assert text.splitlines() == [f"{hashlib.sha256(f'key-{n}'.encode()).hexdigest()} {n}" for n in "ab"]


def test_a_changed_configuration_changes_the_pod_template(settings: Any) -> None:
    one, two = (
        gateway.deployment(settings.gateway, "image", config_checksum=text, clients_checksum="c")["spec"]["template"]
        for text in ("one", "two")
    )
    assert one["metadata"]["annotations"] != two["metadata"]["annotations"]
    assert one["spec"] == two["spec"]


def test_a_gateway_is_killed_only_after_its_streams_had_their_time(settings: Any) -> None:
    pod = gateway.deployment(settings.gateway, "image", "", "")["spec"]["template"]["spec"]
    script = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    before, after = (int(seconds) for seconds in re.findall(r"sleep (\d+)", script))
    assert script.index("kill -USR1 1") > script.index("sleep")
    assert after == settings.gateway.drain_seconds
    assert pod["terminationGracePeriodSeconds"] > before + after


def test_a_load_balancer_takes_no_node_port(settings: Any) -> None:
    service = settings.gateway.service.model_copy(update={"type": "LoadBalancer", "node_port": None})
    spec = gateway.gateway_service(settings.gateway.model_copy(update={"service": service}))["spec"]
    assert spec["type"] == "LoadBalancer"
    assert "nodePort" not in spec["ports"][0]
