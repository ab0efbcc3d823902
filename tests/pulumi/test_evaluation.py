"""Monthly measurements: their objects, what is refused, and when their alerts fire."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from qwen_runtime.cli import build_parser

from qwen_stack import config
from qwen_stack.specs import evaluation
from qwen_stack.specs.alerts import alert_rules

from .alert_cases import Case, counted, ran, rules_of
from .promtool import PROMTOOL
from .recorded_stack import SECRET_MARKER, names, run_program

Values = dict[str, Any]
EVALUATION = {"key": "default", "hardware": "8 x h100-80gb"}
WORSE = 'qwen_evaluation_worse_ratio{instance="a",job="j",kind="bench",model="m",hardware="h",name="n",of="%s"}'
NEWEST = 'qwen_evaluation_newest_timestamp_seconds{instance="a",job="j"}'
CASES = (
    Case(
        "EvaluationRegressed",
        10,
        ({WORSE % "answers": "0.06x12"}, {WORSE % "speed": "0.25x12"}),
        ({WORSE % "answers": "0.04x12"}, {WORSE % "speed": "0.15x12"}, {WORSE % "answers": "0x12"}),
    ),
    # promtool's clock begins at 0: a measurement before it is 40 or 30 days old.
    Case("EvaluationOld", 70, ({NEWEST: "-3456000x75"},), ({NEWEST: "-2592000x75"},)),
)


@pytest.fixture
def measured(local: Values) -> Values:
    return {**local, "evaluation": EVALUATION}


def test_measurements_are_a_job_and_the_server_of_their_history(local: Values, measured: Values) -> None:
    more = names(run_program(measured)) - names(run_program(local))
    assert more == {
        "CronJob/evaluation",
        "Secret/evaluation-key",
        "Deployment/evaluation-history",
        "Service/evaluation-history",
        "NetworkPolicy/evaluation",
        "NetworkPolicy/evaluation-history",
    }


def test_the_job_gives_way_and_pulls_with_the_login(measured: Values) -> None:
    stack = run_program({**measured, "registryLogin": {"user": "stack", "password": "hunter2"}})
    pod = stack["CronJob/evaluation"].inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == "qwen-batch"
    assert pod["imagePullSecrets"] == [{"name": "registry-login"}]


def test_each_step_is_a_command_of_the_package(measured: Values) -> None:
    job = evaluation.cron_job(config.parse(measured), config.parse(measured).evaluation)
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    parser = build_parser()
    outputs = [str(parser.parse_args(step["args"]).output) for step in pod["initContainers"]]
    sent = parser.parse_args(pod["containers"][0]["args"])
    assert [str(path) for path in sent.results] == outputs
    assert sent.history == "http://evaluation-history.qwen.svc.cluster.local:9108"


def test_a_slow_model_is_asked_for_shorter_answers_about_tools(measured: Values) -> None:
    settings = config.parse({**measured, "evaluation": {**EVALUATION, "toolTokens": 32}})
    [tools, _] = evaluation.cron_job(settings, settings.evaluation)["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "initContainers"
    ]
    assert build_parser().parse_args(tools["args"]).max_tokens == 32


def test_the_gateway_is_asked_at_a_port_of_its_service(measured: Values) -> None:
    stack = run_program(measured)
    [port] = stack["Service/gateway"].inputs["spec"]["ports"]
    job = json.dumps(stack["CronJob/evaluation"].inputs)
    asked = urlsplit(re.findall(r"--endpoint=(\S+?)\"", job)[0])
    assert (asked.hostname, asked.port or 80) == ("gateway.qwen.svc.cluster.local", port["port"])


def test_the_key_is_a_secret(measured: Values) -> None:
    stack = run_program(measured)
    data = stack["Secret/evaluation-key"].inputs["data"]
    assert data[SECRET_MARKER]
    key = measured["apiKeys"]["default"]
    assert base64.b64decode(data["value"]["key"]).decode() == key
    assert key not in json.dumps([args.inputs for args in stack.values()])


def test_the_history_lies_where_the_measurements_of_monitoring_lie(measured: Values) -> None:
    storage = {"monitoring": {**measured["monitoring"], "storage": {"host": "control1"}}}
    stack = run_program({**measured, **storage})
    [volume] = [args for name, args in stack.items() if name.startswith("PersistentVolume/qwen-evaluation-history")]
    assert volume.inputs["spec"]["local"]["path"] == "/var/lib/qwen/monitoring/evaluation-history"
    volumes = stack["Deployment/evaluation-history"].inputs["spec"]["template"]["spec"]["volumes"]
    assert volumes == [{"name": "data", "persistentVolumeClaim": {"claimName": "evaluation-history"}}]


def test_a_gateway_with_a_certificate_is_asked_by_its_name(measured: Values) -> None:
    gateway = {**measured["gateway"], "tlsSecret": "tls"}
    asked = {**EVALUATION, "endpoint": "https://llm.example:8443", "caSecret": "ca"}
    job = run_program({**measured, "gateway": gateway, "evaluation": asked})["CronJob/evaluation"]
    text = json.dumps(job.inputs)
    assert "--endpoint=https://llm.example:8443/v1" in text
    assert '"SSL_CERT_FILE"' in text


@pytest.mark.parametrize(
    ("change", "gateway", "keys"),
    [
        ({"key": "nobody"}, {}, ("evaluation.key",)),
        ({"model": "other"}, {}, ("evaluation.model",)),
        ({"schedule": "monthly"}, {}, ("evaluation.schedule",)),
        ({"endpoint": "https://llm.example"}, {}, ("evaluation.endpoint", "gateway.tlsSecret")),
        ({}, {"tlsSecret": "tls"}, ("evaluation.endpoint", "gateway.tlsSecret")),
        ({}, {"limits": {}}, ("evaluation.key", "gateway.limits.keys.default.class")),
        (
            {"endpoint": "https://llm.example"},
            {"tlsSecret": "tls", "clientCaSecret": "ca"},
            ("evaluation", "gateway.clientCaSecret"),
        ),
    ],
)
def test_measurements_that_could_not_be_made_are_refused(
    measured: Values, change: Values, gateway: Values, keys: tuple[str, ...]
) -> None:
    values = {**measured, "gateway": {**measured["gateway"], **gateway}, "evaluation": {**EVALUATION, **change}}
    with pytest.raises(config.ConfigError) as refused:
        config.parse(values)
    [problem] = refused.value.problems
    assert problem.keys == keys
    assert problem.remedy


@PROMTOOL
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_a_decline_and_a_missing_measurement_call(tmp_path: Path, limited: Any, case: Case) -> None:
    tests = [counted(case, series, True) for series in case.fires]
    ran(tmp_path, rules_of(limited, case.alert), tests + [counted(case, series, False) for series in case.quiet])


def test_a_stack_without_measurements_has_no_alert_about_them(settings: Any, measured: Values) -> None:
    more = alert_rules.alerts(config.parse(measured)), alert_rules.alerts(settings)
    assert {one.name for one in more[0]} - {one.name for one in more[1]} == {case.alert for case in CASES}
