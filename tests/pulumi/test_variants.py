"""Entries that share a name: which configurations are refused, and what the stack makes of the others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from qwen_stack import config, handovers, promotions
from qwen_stack.components import gateway, promotion
from qwen_stack.specs.gateway import config as gateway_config
from qwen_stack.specs.gateway.routes import route
from qwen_stack.specs.monitoring import scrape_jobs

from .recorded_stack import run_program

NAME = "tiny"
Values = dict[str, Any]


def with_weights(values: Values, old: object, new: object) -> Values:
    return with_keys(values, {"weight": old}, {"weight": new})


def with_keys(values: Values, first: Values, second: Values) -> Values:
    """The stack with these keys in its two entries; those that are None are removed."""
    entries = [{**entry, **keys} for entry, keys in zip(values["models"], (first, second), strict=True)]
    return {
        **values,
        "models": [{key: value for key, value in entry.items() if value is not None} for entry in entries],
    }


@pytest.fixture
def shared(local: Values) -> Values:
    """Two entries that serve one name, 90 and 10."""
    first, second = local["models"]
    return {
        **local,
        "models": [
            {**first, "servedName": NAME, "variant": "old", "weight": 90},
            {**second, "servedName": NAME, "variant": "new", "weight": 10},
        ],
    }


def test_two_entries_share_a_name_by_their_weights(shared: Values) -> None:
    models = config.parse(shared).models
    assert [(model.served_name, model.server, model.weight) for model in models] == [
        (NAME, "model-server", 90),
        (NAME, "model-server-new", 10),
    ]


BOTH = ("models[0].weight", "models[1].weight")


@pytest.mark.parametrize(
    ("first", "second", "keys"),
    [
        ({}, {"weight": 20}, BOTH),
        ({"weight": 80}, {}, BOTH),
        ({}, {"weight": -1}, BOTH[1:]),
        ({}, {"weight": 101}, BOTH[1:]),
        ({}, {"weight": None}, BOTH[1:]),
        ({"weight": None}, {"weight": None}, BOTH),
        ({"variant": None}, {}, ("models[0].variant",)),
        ({}, {"variant": "New!"}, ("models[1].variant",)),
        ({}, {"variant": "old"}, ("models[0].variant", "models[1].variant")),
        ({"weight": 100}, {"servedName": "other"}, BOTH[1:]),
    ],
)
def test_shares_that_do_not_come_out_are_refused_with_their_keys(
    shared: Values, first: Values, second: Values, keys: tuple[str, ...]
) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.parse(with_keys(shared, first, second))
    [problem] = refused.value.problems
    assert problem.keys == keys
    assert problem.found
    assert problem.needed
    assert problem.remedy.startswith(("pulumi config ", "change one"))


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ({"aliases": ["reference"]}, {"servedName": "reference"}, "models[0].aliases"),
        ({"servedName": "one", "aliases": ["one"]}, {}, "models[0].aliases"),
        ({"aliases": ["coder", "coder"]}, {}, "models[0].aliases"),
        ({"aliases": ["coder"]}, {"aliases": ["coder"]}, "models[1].aliases"),
        ({"aliases": ["a/b"]}, {}, "models[0].aliases[0]"),
    ],
)
def test_a_name_that_would_mean_two_things_is_refused(local: Values, first: Values, second: Values, key: str) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.parse(with_keys(local, first, second))
    [problem] = refused.value.problems
    assert problem.keys == (key,)


def test_entries_of_one_name_have_the_same_further_names(shared: Values) -> None:
    aliases = {"aliases": ["coder", "qwen"]}
    assert config.parse(with_keys(shared, aliases, aliases)).models[1].aliases == ("coder", "qwen")
    with pytest.raises(config.ConfigError, match=r"models\[1\]\.aliases"):
        config.parse(with_keys(shared, aliases, {"aliases": ["coder"]}))


def test_more_entries_of_one_name_than_the_gateway_has_clusters_for_are_refused(shared: Values) -> None:
    first, second = shared["models"]
    more = [{**second, "variant": f"v{number}", "weight": 0} for number in range(4)]
    with pytest.raises(config.ConfigError, match=r"models\[4\]\.servedName"):
        config.parse({**shared, "models": [{**first, "weight": 100}, *more]})


def test_the_limiter_does_not_count_replicas_of_two_entries(shared: Values) -> None:
    limits = {"limits": {"requestsPerReplica": {NAME: 4}}}
    with pytest.raises(config.ConfigError) as refused:
        config.parse({**shared, "gateway": {**shared["gateway"], **limits}})
    [problem] = refused.value.problems
    assert problem.keys == (f"gateway.limits.requestsPerReplica.{NAME}",)


def test_the_entry_that_is_left_after_a_change_keeps_its_word_and_weight(shared: Values) -> None:
    last = {**shared["models"][1], "weight": 100, "server": "model-server-new"}
    assert config.parse({**shared, "models": [last]}).models[0].variant == "new"


def order(values: Values) -> list[str]:
    """Deployments in the order in which the program makes or changes them, by the resources that each one waits for."""
    return [name for name in run_program(values) if name.startswith("Deployment/")]


def test_an_entry_is_ready_before_it_gets_its_share(shared: Values) -> None:
    made = order(shared)
    assert max(made.index(f"Deployment/model-server{end}") for end in ("", "-new")) < made.index("Deployment/gateway")


@pytest.mark.parametrize(("old", "new", "last"), [(0, 100, ""), (100, 0, "-new")])
def test_an_entry_that_lost_its_share_changes_after_the_gateways(shared: Values, old: int, new: int, last: str) -> None:
    made = order(with_weights(shared, old, new))
    assert made.index("Deployment/gateway") < made.index(f"Deployment/model-server{last}")


def outputs(values: Values, **weights: int) -> Values:
    """Outputs of a run with these values, where entries had these percents of NAME before."""
    settings = config.parse(values)
    percent = {promotions.identity(model): weights[str(model.variant)] for model in settings.models}
    serving = {NAME: {"percent": percent, "byRight": list(percent)}}
    return {promotion.OUTPUT: serving, handovers.OUTPUT: handovers.digests(settings)}


@pytest.mark.parametrize(
    ("had", "changed", "slept"),
    [
        ({"old": 100, "new": 0}, {"extraArgs": ["--seed", "1"]}, 1),
        ({"old": 100, "new": 0}, {}, 0),
        ({"old": 0, "new": 100}, {"extraArgs": ["--seed", "1"]}, 0),
    ],
)
def test_an_entry_that_changes_as_it_loses_its_weight_waits_until_gateways_know(
    shared: Values, monkeypatch: pytest.MonkeyPatch, had: dict[str, int], changed: Values, slept: int
) -> None:
    slept_s: list[float] = []

    async def sleep(seconds: float) -> None:
        slept_s.append(seconds)

    after = with_weights(shared, 0, 100)
    before = outputs(after, **had)
    after["models"][0] |= changed
    monkeypatch.setattr(gateway, "sleep", sleep)
    made = list(run_program(after, outputs=before))
    assert slept_s == [gateway.HEARD_WITHIN_S] * slept
    weights = next(name for name in made if name.startswith("ConfigMap/gateway-weights"))
    assert made.index(weights) < made.index("Deployment/model-server")


def test_neither_engines_nor_gateways_start_anew_for_a_weight(shared: Values) -> None:
    before, after = (
        run_program(shared),
        run_program(with_weights(shared, 50, 50)),
    )
    assert before.keys() == after.keys()
    differ = {name.rpartition("-")[0] for name in before if before[name].inputs != after[name].inputs}
    assert differ == {"ConfigMap/gateway-weights"}


def test_repetitions_have_the_same_budget_at_every_cluster_of_a_name(shared: Values) -> None:
    settings = config.parse(shared)
    clusters = gateway_config.config(settings.gateway, route(settings))["static_resources"]["clusters"]
    budgets = [cluster["circuit_breakers"] for cluster in clusters if "model-server" in cluster["name"]]
    assert len(budgets) == 4
    assert all(budget == budgets[0] for budget in budgets)


def test_series_of_gateways_and_engines_carry_the_variant(shared: Values) -> None:
    jobs = {job["job_name"]: job for job in scrape_jobs.scrape_configs(config.parse(shared))}
    for name, kind in (("gateway", "metric_relabel_configs"), ("model-server", "relabel_configs")):
        rules = [rule for rule in jobs[name][kind] if rule["target_label"] == "variant"]
        assert {rule["replacement"] for rule in rules} == {"old", "new"}
    assert yaml.safe_dump(jobs["supervisor"]["relabel_configs"]).count("target_label: variant") == 2
