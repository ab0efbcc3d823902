"""Prometheus' rules, evaluated by promtool on series that a test gives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH: apt-get install prometheus"
)
INTERVAL_S = 15
Series: TypeAlias = list[tuple[str, str]]


def checked(*command: object) -> None:
    """Run a command; its output is the message of a failure."""
    done = subprocess.run([str(argument) for argument in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def records(folder: Path, rules: str, series: Series, expected: Mapping[str, float]) -> None:
    """Hold that constant series are recorded with these values; keys are `name{labels}`."""
    samples = [
        {"expr": labelled, "eval_time": "30s", "exp_samples": [{"labels": labelled, "value": value}]}
        for labelled, value in expected.items()
    ]
    _test(folder, rules, series, {"promql_expr_test": samples})


def fires(folder: Path, rules: str, series: Series, name: str, expected: Mapping[str, list[Any]]) -> None:
    """Hold which alerts of a name fire after a time with constant series, as promtool's `exp_alerts`."""
    alerts = [{"eval_time": after, "alertname": name, "exp_alerts": firing} for after, firing in expected.items()]
    _test(folder, rules, series, {"alert_rule_test": alerts})


def _test(folder: Path, rules: str, series: Series, expectations: dict[str, Any]) -> None:
    (folder / "rules.yml").write_text(rules)
    inputs = [{"series": name, "values": f"{value}x80"} for name, value in series]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{INTERVAL_S}s",
        "tests": [{"interval": f"{INTERVAL_S}s", "input_series": inputs, **expectations}],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(test))
    checked("promtool", "test", "rules", folder / "test.yml")
