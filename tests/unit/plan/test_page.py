"""A plan's page tells what the plan says, and fetches nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from qwen_runtime.cli import main
from qwen_runtime.plan import build, make, page, people, plan

MODEL = "Qwen3-Coder-480B-A35B-Instruct-FP8"
TEAM = ("plan", "--model", MODEL, "--gpu", "h100-80gb", "--gpus-per-node", "8", "--developers", "200")
FETCHES = re.compile(r"""<(?:script|link|img|iframe)|@import|url\((?!#)|(?:src|href)=["'](?!#)""")
"""Marks that make a browser fetch something."""


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "plan.html"
    assert main([*TEAM, "--html", str(path)]) == 0
    assert "TP8 x EP8" in capsys.readouterr().out, "the table is printed too"
    return path.read_text()


def test_the_page_is_whole_in_itself(written: str) -> None:
    assert FETCHES.search(written) is None
    assert written.startswith("<!doctype html>")
    assert written.count("<svg") == written.count("</svg>") == 3


def test_the_page_has_memory_speed_roofline_team_and_command(written: str) -> None:
    for fact in ("weights 56.2", "KV cache 8.9", "GPU 7", "requests in flight", "four of five measurements",
                 "1979 TFLOP/s", "an answer to one user", "200 developers in their busy hour", "h200-141gb",
                 "qwen-runtime plan --model"):  # fmt: skip
        assert fact in written, fact


def test_the_same_plan_gives_the_same_page_also_from_its_file(tmp_path: Path, written: str) -> None:
    file, again = tmp_path / "plan.json", tmp_path / "again.html"
    request = make(model=MODEL, gpu="h100-80gb", gpus_per_node=8, developers=200)
    sized = people.size(request)
    document = build(plan(sized.request), sized)
    from qwen_runtime.plan import dumps

    file.write_text(dumps(document))
    assert main(["plan", "--read", str(file), "--html", str(again)]) == 0
    assert again.read_text() == written == page.render(document)


def test_a_model_on_one_gpu_and_a_model_of_states_have_a_page_too() -> None:
    for model in ("Qwen2.5-Coder-7B-Instruct", "Qwen3-Coder-Next"):
        request = make(model=model, gpu="h200-141gb", gpus_per_node=8, context_tokens=32_768)
        assert page.render(build(plan(request))).count("</svg>") == 3


def test_names_are_text_and_never_markup() -> None:
    document = build(plan(make(model=MODEL, gpu="h100-80gb", gpus_per_node=8)))
    document["reason"] = document["model"]["name"] = "<script>alert(1)</script>"
    assert "<script" not in page.render(document)


def test_a_plan_that_does_not_fit_writes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.html"
    too_large = ("--model", MODEL.removesuffix("-FP8"), *TEAM[3:7], "--html", str(path))
    assert main(["plan", *too_large]) == 3
    assert not path.exists()
    assert "does not fit" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_told_by_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TEAM, "--html", "/nonexistent/plan.html"]) == 2
    assert "--html /nonexistent/plan.html cannot be written (No such file or directory)" in capsys.readouterr().err
