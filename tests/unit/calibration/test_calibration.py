"""Predictions come from fitted constants, and their errors in the documentation are true."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from qwen_runtime.plan.roofline import EFFICIENCY, LIKELY
from qwen_runtime.sizing.layout import Layout

from python.calibration import fit, tables
from python.calibration.measurements import MEASUREMENTS, Measurement

DOCUMENT = Path(__file__).parents[3] / "docs/planner.md"


def test_the_constants_come_from_the_marked_rows_and_from_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = tuple(row for row in MEASUREMENTS if row.fit)
    assert 0 < len(marked) < len(MEASUREMENTS) / 2
    absurd = replace(marked[0], fit=False, inter_token_s=10.0)
    monkeypatch.setattr(fit, "MEASUREMENTS", (*marked, absurd))
    for name, value in asdict(fit.fit()).items():
        assert value == pytest.approx(getattr(EFFICIENCY, name), rel=0.005), name


def test_the_ranges_beside_predictions_are_those_of_the_rows_that_were_not_fitted() -> None:
    computed = fit.likely(EFFICIENCY)
    assert set(LIKELY) == set(computed)
    for name, bounds in LIKELY.items():
        assert bounds == pytest.approx(computed[name], abs=0.006), name


def test_a_run_that_waits_for_its_longest_answer_is_slower_than_the_same_load_for_ever() -> None:
    row = next(row for row in MEASUREMENTS if row.varied)
    assert fit.predict(row, EFFICIENCY).output_tokens_per_s < (
        0.8 * fit.predict(replace(row, varied=False), EFFICIENCY).output_tokens_per_s
    )


def test_attention_groups_hold_requests_side_by_side() -> None:
    groups = Layout(1, 1, 8, 8)
    row = Measurement("any", "Qwen3-30B-A3B", "h100-80gb", groups, 1000, 1000, 1000, "")
    alone = fit.predict(replace(row, layout=Layout(1)), EFFICIENCY).running
    assert fit.predict(row, EFFICIENCY).running > 2 * alone


def test_the_tables_of_the_documentation_are_current() -> None:
    text = DOCUMENT.read_text()
    assert tables.written_anew(text) == text, "run: PYTHONPATH=python/src python3 -m python.calibration docs/planner.md"
