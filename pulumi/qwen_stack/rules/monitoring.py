"""The rules between the keys of `monitoring`, and between them and what is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qwen_runtime.engine.registry import exported

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings
from qwen_stack.specs.alerts.slo_rules import LONGEST_DAYS

# Units of Prometheus' durations, in days.
DAYS = {"m": 1 / 1440, "h": 1 / 24, "d": 1, "w": 7, "y": 365}


def thresholds_are_bounds_of_histograms(settings: Settings) -> Iterator[Problem]:
    """A share below a threshold can only be counted at a bound that every served engine writes."""
    objectives = settings.monitoring.objectives
    engines = {model.engine: exported()[model.engine].edges for model in settings.models if model.engine in exported()}
    for key, histogram, seconds in (
        ("firstTokenSeconds", "time_to_first_token:seconds", objectives.first_token_seconds),
        ("interTokenSeconds", "inter_token_latency:seconds", objectives.inter_token_seconds),
        ("answerSeconds", "request_latency:seconds", objectives.answer_seconds),
    ):
        for engine, edges in engines.items():
            if histogram in edges and seconds not in edges[histogram]:
                path = f"monitoring.objectives.{key}"
                yield Problem(
                    (path,),
                    f"{seconds:g}, which the histogram of engine {engine} has no bound at",
                    f"one of {', '.join(f'{edge:g}' for edge in edges[histogram])}",
                    f"pulumi config set --path {path} <seconds>",
                )


def windows_fit_the_retention(settings: Settings) -> Iterator[Problem]:
    """The longest window of the burn rates needs data as old as itself, and a day more to be looked at afterwards."""
    amount, unit = int(settings.monitoring.retention[:-1]), settings.monitoring.retention[-1]
    if amount * DAYS[unit] < LONGEST_DAYS + 1:
        yield Problem(
            ("monitoring.retention",),
            settings.monitoring.retention,
            f"at least {LONGEST_DAYS + 1}d, because burn rates look {LONGEST_DAYS} days back",
            "pulumi config set --path monitoring.retention 15d",
        )


def data_lie_on_one_kind_of_volume(settings: Settings) -> Iterator[Problem]:
    storage = settings.monitoring.storage
    if storage is not None and (storage.class_name is None) == (storage.host is None):
        yield Problem(
            ("monitoring.storage.className", "monitoring.storage.host"),
            "both" if storage.host else "neither",
            "one of them: a class whose volumes follow the pod, or the host whose disk holds the data",
            "pulumi config set --path monitoring.storage.host <name of a node>",
        )


def each_host_has_an_address_of_its_own(settings: Settings) -> Iterator[Problem]:
    hosts = settings.monitoring.hosts
    twice = [name for name in hosts if list(hosts.values()).count(hosts[name]) > 1]
    if twice:
        yield Problem(
            tuple(f"monitoring.hosts.{name}" for name in twice),
            hosts[twice[0]],
            "an address for each host, or one of them is never looked at",
            f"pulumi config set --path 'monitoring.hosts[\"{twice[-1]}\"]' <address>",
        )


def the_control_plane_is_among_the_hosts(settings: Settings) -> Iterator[Problem]:
    monitoring = settings.monitoring
    if unknown := [name for name in monitoring.control_plane_hosts if name not in monitoring.hosts]:
        yield Problem(
            ("monitoring.controlPlaneHosts",),
            ", ".join(unknown),
            f"names of monitoring.hosts: {', '.join(monitoring.hosts) or 'none yet'}",
            f"pulumi config set --path 'monitoring.hosts[\"{unknown[0]}\"]' <address>",
        )


def a_port_without_a_login_is_accepted_by_name(settings: Settings) -> Iterator[Problem]:
    monitoring = settings.monitoring
    ports = {
        "prometheusNodePort": monitoring.prometheus_node_port,
        "alertmanagerNodePort": monitoring.alertmanager_node_port,
    }
    opened = [f"monitoring.{name}" for name, port in ports.items() if port is not None]
    if opened and not monitoring.accept_no_login:
        yield Problem(
            (*opened, "monitoring.acceptNoLogin"),
            "a port on every node that asks nobody for a login",
            "none: whoever may forward a port of the namespace reaches both (docs/operate/alerts.md)",
            f"pulumi config rm --path {opened[0]}, or pulumi config set --path monitoring.acceptNoLogin true",
        )


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    thresholds_are_bounds_of_histograms,
    windows_fit_the_retention,
    data_lie_on_one_kind_of_volume,
    each_host_has_an_address_of_its_own,
    the_control_plane_is_among_the_hosts,
    a_port_without_a_login_is_accepted_by_name,
)
