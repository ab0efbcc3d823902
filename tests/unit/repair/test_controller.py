"""The controller keeps nothing, tells once, and survives those that it asks."""

from __future__ import annotations

import re
from pathlib import Path

from qwen_runtime.repair import table

from tests.fakes.prometheus_api import XID

from .faulty_site import Site


def test_a_restarted_controller_tells_nothing_again(site: Site) -> None:
    site.prometheus.saw(XID, (300, 0), (90, 79), (1, 79))
    site.controller.attempt()
    again = site.started()
    again.attempt()
    assert len(site.told()) == 1
    assert again.figures.failures == 0


def test_faults_that_change_with_every_scrape_are_told_once_each(site: Site) -> None:
    """A storm in the kernel's log is one number in DCGM; what is left of it is this."""
    flapping = [(300.0 - second, (79.0, 45.0)[second % 2]) for second in range(300)]
    for gpu in range(8):
        site.prometheus.saw(XID, *flapping, gpu=str(gpu))
    for _ in range(3):
        site.controller.attempt()
        site.prometheus.now_s += 5
        for samples in site.prometheus.samples.values():
            samples.append((site.prometheus.now_s, 45.0 if samples[-1][1] == 79.0 else 79.0))
    assert len(site.api.asked) == 8 * 2


def test_a_fault_that_comes_back_after_it_had_expired_is_told_again(site: Site) -> None:
    site.prometheus.saw(XID, (300, 0), (1, 79))
    site.controller.attempt()
    site.prometheus.now_s += 3600
    site.prometheus.saw(XID, (300, 0), (1, 0))
    site.controller.attempt()
    site.prometheus.saw(XID, (300, 0), (1, 79))
    site.controller.attempt()
    assert len(site.told()) == 2


def test_a_pass_without_an_answer_is_counted_and_the_next_one_is_made(site: Site) -> None:
    site.prometheus.saw(XID, (300, 0), (90, 79), (1, 79))
    site.api.down = True
    site.controller.attempt()
    site.api.down, site.prometheus.garbage = False, True
    site.controller.attempt()
    assert site.controller.figures.passed_s == 0
    site.prometheus.garbage = False
    site.controller.attempt()
    assert site.controller.figures.failures == 2
    assert site.controller.figures.passed_s > 0
    assert len(site.told()) == 1


def test_the_figures_count_what_lasts_by_node_and_action(site: Site) -> None:
    site.prometheus.saw(XID, (300, 0), (1, 79))
    site.prometheus.saw(XID, (300, 0), (1, 79), gpu="5")
    site.controller.attempt()
    text = site.controller.figures.text()
    assert 'qwen_repair_events{node="gpu1",action="drain"} 2\n' in text
    assert all(re.fullmatch(r"(# (HELP|TYPE) .+|[a-z_]+(\{.*\})? [0-9.]+)", line) for line in text.splitlines())


def test_each_fault_stands_in_the_table_once() -> None:
    faults = [row.fault for row in table.ROWS]
    assert len(faults) == len(set(faults))
    assert all(row.reason for row in table.ROWS)


def test_the_page_for_operators_has_the_table() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/operate/repair.md").read_text()
    assert table.text() in page, "qwen-runtime repair table"
    assert f"Version {table.VERSION}." in page
