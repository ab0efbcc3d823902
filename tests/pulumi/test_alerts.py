"""Every alert fires where it should and stays quiet where it should not, calls its owner and has a runbook."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from qwen_stack import runbook
from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.alerts.alert import RUNBOOK
from qwen_stack.specs.alerts.monitoring_alerts import WATCHDOG
from qwen_stack.specs.monitoring import notifications

from . import alert_cases
from .alert_cases import Case, counted, gpu, ran, rules_of, waiting
from .cluster_alert_cases import CLUSTER
from .gateway_alert_cases import GATEWAY
from .gpu_alert_cases import GPUS
from .host_alert_cases import HOSTS
from .promtool import PROMTOOL

CASES = (*alert_cases.CASES, *GPUS, *GATEWAY, *HOSTS, *CLUSTER)
ROOT = Path(__file__).resolve().parents[2]


@PROMTOOL
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_it_fires_with_its_cause_and_without_it_does_not(tmp_path: Path, settings: Any, case: Case) -> None:
    tests = [counted(case, series, True) for series in case.fires]
    ran(tmp_path, rules_of(settings, case.alert), tests + [counted(case, series, False) for series in case.quiet])


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(settings: Any) -> None:
    assert sorted(case.alert for case in CASES) == sorted(alert.name for alert in alert_rules.alerts(settings))
    assert [case.alert for case in CASES if not case.fires or not case.quiet] == [WATCHDOG]


@PROMTOOL
def test_a_notification_says_what_was_found_and_what_to_do(tmp_path: Path, settings: Any) -> None:
    alert = {
        "exp_labels": {
            "alertname": "HighGPUUsage",
            "severity": "critical",
            "owner": "serving",
            "gpu": "0",
            "node": "gpu1",
        },
        "exp_annotations": {
            "summary": "GPU 0 of gpu1 has no headroom while requests wait",
            "impact": "Requests wait before their first token.",
            "found": "95% utilisation on average over 5 minutes, and requests in the queue",
            "needed": "at most 90%, or no queue",
            "remedy": "Compare with the other GPUs: all high means too few replicas (raise its replicas); "
            "one high means uneven load (see the gateway's requests for each server).",
            "runbook": "docs/operate/runbook.md#highgpuusage",
        },
    }
    series = gpu("GPU_UTIL", "95x30") | waiting("3x30")
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "12m", "alertname": "HighGPUUsage", "exp_alerts": [alert]}],
    }
    ran(tmp_path, rules_of(settings, "HighGPUUsage"), [test])


def test_the_runbook_agrees_with_the_alerts_and_each_notification_leads_to_its_section() -> None:
    written = (ROOT / RUNBOOK).read_text()
    alerts = runbook.example_alerts()
    assert written == runbook.page(alerts), runbook.__doc__
    for alert in alerts:
        assert f"\n## {alert.name}\n" in written
        assert alert.rule()["annotations"]["runbook"] == f"{RUNBOOK}#{alert.name.lower()}"


def test_an_alert_is_silenced_only_by_alerts_that_exist_and_never_by_one_that_it_silences() -> None:
    names = {alert.name for alert in runbook.example_alerts()}
    pairs = {
        (cause, follower)
        for causes, followers, _ in notifications.INHIBITIONS
        for cause, follower in itertools.product(*(part.partition("{")[0].split("|") for part in (causes, followers)))
    }
    assert {name for pair in pairs for name in pair} <= names
    assert not {(cause, target) for cause, target in pairs if (target, cause) in pairs}


def test_the_watchdog_goes_to_its_own_receiver_and_to_nobody_without_one(settings: Any) -> None:
    people = {"alert_webhook_url": "https://people.example/"}
    for update, receiver in ((people, "none"), ({**people, "watchdog_url": "https://dead.example/"}, "watchdog")):
        config = notifications.config(settings.monitoring.model_copy(update=update))
        assert config["route"]["receiver"] == "webhook"
        [route] = config["route"]["routes"]
        assert (route["receiver"], route["matchers"]) == (receiver, [f'alertname = "{WATCHDOG}"'])
        assert receiver in [one["name"] for one in config["receivers"]]
