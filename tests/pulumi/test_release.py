"""The iteration of docs/operate/release.md: its commands, and the stack's answer on each of its days."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import build_parser

from qwen_stack import config, promotions
from qwen_stack.components.promotion import PromotionError
from tests.fakes.results import humaneval
from tests.fakes.token_server import MODEL, Pace, serving

from .recorded_stack import run_program

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/operate/release.md"
LOAD = ["--users", "2", "--sessions", "4", "--warmup", "0", "--input-tokens", "5", "--output-tokens", "4"]
HARDWARE = "8 x h100-80gb"
Values = dict[str, Any]


def commands(page: Path = PAGE) -> list[str]:
    """Commands of a page, each on one line, with what its `export` sets."""
    text = page.read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    exported = [line for line in lines if line.startswith("export ")]
    for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', " ".join(exported)):
        lines = [line.replace(f"${name}", value.strip('"')) for line in lines]
    return lines


@pytest.mark.parametrize("page", ["operate/release.md", "measure.md", "quantization.md"])
def test_every_command_of_a_page_is_one_that_the_package_takes(page: str) -> None:
    lines = commands(ROOT / "docs" / page)
    measuring = [shlex.split(line)[1:] for line in lines if line.startswith("qwen-runtime ")]
    assert len(measuring) >= 4
    for arguments in measuring:
        build_parser().parse_args(arguments)


def test_every_key_that_the_page_sets_is_one_of_the_stack(local: Values) -> None:
    keys = {key for line in commands() for key in re.findall(r"'models\[1\]\.([a-zA-Z.]+)=", line)}
    assert {"weight", "evidence.candidate", "override.by"} <= keys
    fields = json.dumps(config.Settings.model_json_schema())
    assert not [key for key in keys for part in key.split(".") if f'"{part}"' not in fields]


@pytest.fixture
def evidence(tmp_path: Path) -> Values:
    """Results of both variants: the load was asked of a stand-in, the answers of HumanEval are given."""
    subject = {"endpoint": "http://a/v1", "model": MODEL, "hardware": HARDWARE, "engine_version": "0.0-fake"}
    load = tmp_path / "next-load.json"
    with serving(Pace(variants=("current", "next"))) as url:
        asked = ["--endpoint", url, "--variant", "next", "--hardware", HARDWARE, "--slo-first-token-s", "60"]
        # A process of its own, since pulumi's mocks need the event loop of this one.
        command = [sys.executable, "-m", "qwen_runtime", "bench", *asked, *LOAD, "--own-delay-s", "60"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "python/src")}
        subprocess.run([*command, "--output", str(load)], env=environment, check=True, timeout=120)
    return {
        "baseline": humaneval(tmp_path / "current.json", subject=subject | {"variant": "current"}),
        "candidate": humaneval(tmp_path / "next.json", subject=subject | {"variant": "next"}),
        "load": str(load),
    }


def test_a_candidate_goes_from_nothing_to_all_requests_and_back(local: Values, evidence: Values) -> None:
    served: Values = {}

    def day(old: int, new: int, **keys: Any) -> None:
        """`pulumi up` with these weights; its output is what the next one finds."""
        nonlocal served
        first, second = local["models"]
        entries = [
            {**first, "servedName": MODEL, "variant": "current", "weight": old},
            {**second, "servedName": MODEL, "variant": "next", "weight": new, **keys},
        ]
        values = {**local, "models": entries}
        run_program(values, outputs={"serving": served})
        settings = config.parse(values)
        served = promotions.serving(settings, served, promotions.judge(settings, served, Path("/")))

    day(100, 0)
    day(90, 10)
    with pytest.raises(PromotionError, match="evidence: found: none"):
        day(0, 100)
    day(0, 100, evidence=evidence)
    assert served[MODEL]["lastPromotion"]["verdict"] == "promoted"
    day(100, 0, evidence=evidence)
    day(0, 100, evidence=evidence)
