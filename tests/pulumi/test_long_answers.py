"""The longest answer that was planned lives through every change: all that may end it waits for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qwen_stack import config
from qwen_stack.specs import model_server
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway import workload as specs
from qwen_stack.specs.gateway.routes import route
from tests.gateway.site import CHAT, ONE, Site, eventually, needs_envoy, running

from .planned_stacks import Values, with_entry

TOKENS = 20
HURRY = 600
"""Speed of the times of an answer before a real gateway."""


@pytest.fixture
def settings(example: Values) -> Any:
    return config.parse(example)


def test_a_pod_ends_after_the_longest_answer_that_it_may_have(settings: Any) -> None:
    [model] = settings.models
    longest_s = model.plan.document.pods.longest_answer_seconds
    pods = [
        model_server.deployment(model, "image", "nvidia")["spec"]["template"]["spec"],
        specs.deployment(settings.gateway, "image", "config", "weights")["spec"]["template"]["spec"],
    ]
    assert longest_s > 600
    assert all(pod["terminationGracePeriodSeconds"] > longest_s for pod in pods)


def test_the_gateway_takes_no_answer_for_lost_that_is_not_streamed(settings: Any) -> None:
    [model] = settings.models
    clients = gateway_config.api_listener(settings.gateway, route(settings))
    manager = clients["filter_chains"][0]["filters"][0]["typed_config"]
    routes = [r["route"] for r in manager["route_config"]["virtual_hosts"][0]["routes"] if "route" in r]
    silences = [manager["stream_idle_timeout"], *(r["idle_timeout"] for r in routes)]
    assert all(int(silence[:-1]) >= model.plan.document.pods.longest_answer_seconds for silence in silences)


@pytest.mark.parametrize("key", ["drainSeconds", "timeouts.serverSeconds"])
def test_a_gateway_that_would_cut_its_models_answers_is_refused(example: Values, key: str) -> None:
    section, _, last = key.rpartition(".")
    patience = {section: {last: 60}} if section else {last: 60}
    with pytest.raises(config.ConfigError) as caught:
        config.parse({**example, "gateway": {**example["gateway"], **patience}})
    assert [problem.keys for problem in caught.value.problems] == [(f"gateway.{key}", "models[0].drainSeconds")]


def test_more_patience_than_the_plan_asks_for_reaches_the_gateway_too(example: Values) -> None:
    gateway = config.parse(with_entry(example, drainSeconds=9000)).gateway
    assert (gateway.drain_seconds, gateway.timeouts.server_seconds) == (9000, 9000)


@pytest.fixture
def hurried(tmp_path: Path, settings: Any) -> Iterator[tuple[Site, Any]]:
    """The gateway with its times for an answer `HURRY` times as short, and its settings."""
    gateway = settings.gateway
    silence_s = max(1, gateway.timeouts.server_seconds // HURRY)
    changes = {
        "timeouts": gateway.timeouts.model_copy(update={"server_seconds": silence_s}),
        "drain_seconds": max(1, gateway.drain_seconds // HURRY),
        "tls_secret": None,
    }
    hurrying = gateway.model_copy(update=changes)
    with running(tmp_path, hurrying) as here:
        yield here, hurrying


@needs_envoy
def test_the_longest_answer_outlives_its_gateways_change_streamed_or_not(
    hurried: tuple[Site, Any], settings: Any
) -> None:
    site, gateway = hurried
    answer_s = 0.9 * settings.models[0].plan.document.pods.longest_answer_seconds / HURRY
    site.add_model(ONE, tokens=TOKENS, token_delay=answer_s / TOKENS, delay=answer_s)
    eventually(lambda: site.model_servers() == 1)
    with ThreadPoolExecutor() as pool:
        plain = pool.submit(site.ask, CHAT, {"n": 1})
        with site.stream() as response:
            response.readline()
            hook = site.start("bash", "-c", specs.stop_script(gateway, site.admin_port, withdrawal_s=1))
            pool.submit(_as_the_kubelet_does, hook.wait, lambda: site.gateway.send_signal(signal.SIGTERM))
            assert b"[DONE]" in response.read()
        assert plain.result().status == 200


def _as_the_kubelet_does(wait_for_hook: Callable[[], int], terminate: Callable[[], None]) -> None:
    wait_for_hook()
    terminate()
