"""The gateway's manifests, and the sizes and rules of its configuration."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from qwen_stack import config as stack_config
from qwen_stack.specs import model_server
from qwen_stack.specs.gateway import affinity as gateway_affinity
from qwen_stack.specs.gateway import body as gateway_body
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway import routes
from qwen_stack.specs.gateway import workload as gateway

MIB = 2**20


@pytest.fixture
def config(settings: Any) -> dict[str, Any]:
    return gateway_config.config(settings.gateway, routes.route(settings))


def values(part: Any, key: str) -> Iterator[Any]:
    """All values of a key, anywhere in the configuration."""
    if isinstance(part, dict):
        if key in part:
            yield part[key]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from values(item, key)


@pytest.mark.parametrize("body", [4096, 262_144, 1_000_000, 16_777_216])
def test_the_largest_body_is_kept_whole_with_its_headers(settings: Any, body: int) -> None:
    limits = settings.gateway.model_copy(update={"max_body_bytes": body})
    config = gateway_config.config(limits, routes.route(settings))
    assert list(values(config, "max_request_bytes")) == [body]
    kept = [*values(config, "request_body_buffer_limit"), *values(config, "per_connection_buffer_limit_bytes")]
    assert len(kept) == 2 + len(settings.models)
    assert min(kept) >= body + gateway_config.HEADERS_KIB * 1024


def test_the_memory_limit_covers_the_body_of_every_connection_twice(settings: Any) -> None:
    g = settings.gateway
    assert gateway_config.memory_mib(g) * MIB > 2 * g.max_connections * gateway_config.buffer_bytes(g)


def test_the_gateway_asks_for_a_good_part_of_the_memory_that_it_may_use(settings: Any) -> None:
    resources = gateway.container(settings.gateway, "image")["resources"]
    requested, limit = (int(resources[kind]["memory"].removesuffix("Mi")) for kind in ("requests", "limits"))
    assert requested >= limit / 2


def test_the_upstream_is_the_model_servers_discovery_service(settings: Any, config: dict[str, Any]) -> None:
    name = model_server.discovery(settings.models[0])["metadata"]["name"]
    [endpoint] = values(config["static_resources"]["clusters"][0], "endpoint")
    assert endpoint["address"]["socket_address"] == {"address": f"{name}.qwen.svc.cluster.local", "port_value": 8080}
    assert endpoint["health_check_config"] == {"port_value": 8081}


def test_every_error_body_is_json_in_the_shape_of_openai(config: dict[str, Any]) -> None:
    texts = [text for text in values(config, "inline_string") if '"error"' in text]
    errors = [json.loads(text.replace("%%", "%"))["error"] for text in texts]
    errors += [json.loads(text)["error"] for text in (gateway_config.UNKNOWN_KEY, gateway_body.UNCLEAR_MODEL)]
    assert len(errors) > 8
    assert all(set(error) == {"message", "type", "param", "code"} for error in errors)


def test_retries_are_as_configured_within_a_budget_and_never_for_slow_answers(settings: Any) -> None:
    limits = settings.gateway.model_copy(update={"retries": 2})
    config = gateway_config.config(limits, routes.route(settings))
    policies = list(values(config, "retry_policy"))
    assert len(policies) == sum(len(upstream.paths) for upstream in routes.route(settings).upstreams)
    for policy in policies:
        assert policy["num_retries"] == 2
        assert policy["retriable_status_codes"] == [503]
        assert set(policy["retry_on"].split(",")) == {"connect-failure", "reset", "retriable-status-codes"}
    assert len(list(values(config, "retry_budget"))) == len(settings.models)


def test_a_request_that_kills_its_engine_is_tried_once_more_unless_the_site_wants_otherwise(settings: Any) -> None:
    assert settings.gateway.retries == 1


def test_without_affinity_the_replica_with_the_fewest_requests_answers(settings: Any) -> None:
    for enabled, policy in ((True, "MAGLEV"), (False, "LEAST_REQUEST")):
        affinity = settings.gateway.affinity.model_copy(update={"enabled": enabled})
        changed = settings.gateway.model_copy(update={"affinity": affinity})
        files = gateway_config.files(changed, routes.route(settings))
        assert set(values(json.loads(files[gateway_config.CONFIG_FILE]), "lb_policy")) == {policy}
        assert (gateway_affinity.HEADER in files[gateway_body.BODY_FILE]) == enabled


def test_neither_a_clients_fault_nor_a_500_ejects_a_replica(config: dict[str, Any]) -> None:
    for ejection in values(config, "outlier_detection"):
        enforced = {name for name, share in ejection.items() if name.startswith("enforcing_") and share}
        assert enforced == {"enforcing_consecutive_gateway_failure"}


def test_the_map_holds_digests_and_names() -> None:
    text = gateway.clients_map({"b": "key-b", "a": "key-a"})
    assert text.splitlines() == [f"{hashlib.sha256(f'key-{n}'.encode()).hexdigest()} {n}" for n in "ab"]


def test_a_changed_file_has_another_config_map_so_that_running_pods_keep_theirs() -> None:
    one, two = (gateway.config_map({"envoy.json": text})["metadata"]["name"] for text in ("one", "two"))
    assert one != two


def test_a_gateway_is_killed_only_after_its_streams_had_their_time(settings: Any) -> None:
    pod = gateway.deployment(settings.gateway, "image", "config", ["model-server"])["spec"]["template"]["spec"]
    script = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    withdrawal, listeners, rest = (script.index(text) for text in ("sleep 5", "drain_listeners", "second++"))
    assert withdrawal < listeners < rest
    assert f"second < {settings.gateway.drain_seconds};" in script
    assert pod["terminationGracePeriodSeconds"] > 5 + settings.gateway.drain_seconds


def test_a_certificate_is_mounted_and_moves_the_service_to_the_port_of_https(settings: Any) -> None:
    secure = settings.gateway.model_copy(update={"tls_secret": "gateway-tls"})
    pod = gateway.deployment(secure, "image", "config", ["model-server"])["spec"]["template"]["spec"]
    [volume] = [volume for volume in pod["volumes"] if volume.get("secret", {}).get("secretName") == "gateway-tls"]
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
    assert mount["mountPath"] == routes.TLS_DIR
    ports = [gateway.gateway_service(g)["spec"]["ports"][0]["port"] for g in (settings.gateway, secure)]
    assert ports == [80, 443]


def test_a_load_balancer_is_the_sites_and_nobody_waits_for_it(local: dict[str, Any]) -> None:
    service = {"type": "LoadBalancer", "address": "10.20.0.40", "annotations": {"metallb.io/address-pool": "models"}}
    made = gateway.gateway_service(stack_config.parse({**local, "gateway": {"service": service}}).gateway)
    assert made["spec"]["type"] == "LoadBalancer"
    assert made["spec"]["loadBalancerIP"] == "10.20.0.40"
    assert "nodePort" not in made["spec"]["ports"][0]
    assert made["metadata"]["annotations"] == {"metallb.io/address-pool": "models", "pulumi.com/skipAwait": "true"}


@pytest.mark.parametrize(
    "service",
    [
        {"type": "LoadBalancer"},
        {"type": "LoadBalancer", "address": "gateway.site"},
        {"type": "NodePort", "nodePort": 30080, "address": "10.20.0.40"},
        {"annotations": {"metallb.io/address-pool": "models"}},
    ],
)
def test_a_load_balancer_that_nobody_provides_is_refused(local: dict[str, Any], service: dict[str, Any]) -> None:
    with pytest.raises(stack_config.ConfigError, match=r"gateway\.service\.address"):
        stack_config.parse({**local, "gateway": {"service": service}})
