"""The rules between `repair` and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings
from qwen_stack.specs.repair import STALE_SCRAPES


def faults_are_measured_before_they_expire(settings: Settings) -> Iterator[Problem]:
    """A change needs a measurement before and one after it, and rules that have read both."""
    if settings.repair is None:
        return
    least = STALE_SCRAPES * settings.monitoring.scrape_seconds
    if settings.repair.expire_seconds < least:
        yield Problem(
            ("repair.expireSeconds", "monitoring.scrapeSeconds"),
            f"{settings.repair.expire_seconds} s with a measurement every {settings.monitoring.scrape_seconds} s",
            f"at least {least} s: a change shows between several measurements",
            f"pulumi config set --path repair.expireSeconds {least}",
        )


def a_hosts_actions_are_a_part_of_the_fleets(settings: Settings) -> Iterator[Problem]:
    repair = settings.repair
    if repair and repair.actions_per_host_hour > repair.actions_per_fleet_hour:
        yield Problem(
            ("repair.actionsPerHostHour", "repair.actionsPerFleetHour"),
            f"{repair.actions_per_host_hour} at one host and {repair.actions_per_fleet_hour} at all together",
            "no more at one host than at all",
            f"pulumi config set --path repair.actionsPerHostHour {repair.actions_per_fleet_hour}",
        )


def the_loaded_test_has_room_in_the_quota(settings: Settings) -> Iterator[Problem]:
    """Evicted pods that wait for another host count against the quota beside the test of the host that they left."""
    if settings.repair is None or settings.repair.mode != "act" or settings.gpu_quota is None:
        return
    served = sum(model.gpus_per_replica * model.replicas for model in settings.models)
    least = served + settings.monitoring.gpus_per_host
    if settings.gpu_quota < least:
        yield Problem(
            ("gpuQuota", "repair.mode"),
            f"{settings.gpu_quota} GPUs, with models that take {served}",
            f"at least {least}: the test of a repaired host takes all of its GPUs",
            f"pulumi config set gpuQuota {least}",
        )


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    faults_are_measured_before_they_expire,
    a_hosts_actions_are_a_part_of_the_fleets,
    the_loaded_test_has_room_in_the_quota,
)
