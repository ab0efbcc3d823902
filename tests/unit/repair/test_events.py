"""An event is a change that was seen, in this boot, and it expires."""

from __future__ import annotations

import pytest

from tests.fakes.prometheus_api import XID

from .faulty_site import Site

BEFORE = (300.0, 0.0)
NOW = (1.0, 79.0)


def test_a_fault_is_told_at_its_node_with_what_would_be_done(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (90, 79), NOW)
    site.controller.attempt()
    [said] = site.told()
    assert "Would drain the host for its restart or for the vendor: GPU 0, XID 79" in said
    assert "boot first-boot" in said
    [event] = site.api.named("/api/v1/namespaces/default/events/")
    assert event["involvedObject"]["name"] == "gpu1"
    assert event["firstTimestamp"] == "1970-01-12T13:45:10Z"


def test_nothing_but_events_is_written_while_observing(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (90, 95), NOW)
    site.controller.attempt()
    assert {(method, path) for method, path, _ in site.api.asked} == {("POST", "/api/v1/namespaces/default/events")}


def test_an_event_expires(site: Site) -> None:
    site.prometheus.saw(XID, (650, 0), (630, 79), NOW)
    site.controller.attempt()
    assert site.told() == []
    assert site.controller.figures.dropped == {"expired": 1}


def test_a_value_that_was_there_before_says_nothing_of_its_time(site: Site) -> None:
    site.prometheus.saw(XID, (300, 79), NOW)
    site.controller.attempt()
    assert site.told() == []


def test_an_event_of_the_boot_before_is_none(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (90, 79), (60, 0), (1, 0))
    site.host("gpu1", boot_id="second-boot", exporter_age_s=62)
    site.controller.attempt()
    assert site.told() == []
    assert site.controller.figures.dropped == {"before the exporter's start": 1}


def test_a_series_that_is_no_longer_measured_tells_nothing(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (90, 79))
    site.controller.attempt()
    assert site.told() == []
    assert site.controller.figures.dropped == {"no longer measured": 1}


def test_an_xid_that_another_has_followed_is_not_lost(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (90, 48), (60, 45), (1, 45))
    site.controller.attempt()
    assert [said.split(",")[1].strip() for said in site.told()] == ["XID 48", "XID 45"]


def test_a_field_that_is_no_number_is_no_fault_and_hides_none(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (90, float("nan")), (60, 48), (30, float("nan")), (1, float("inf")))
    site.controller.attempt()
    assert [said.split(",")[1].strip() for said in site.told()] == ["XID 48"]


def test_an_xid_that_the_table_does_not_know_is_told_and_ignored(site: Site) -> None:
    site.prometheus.saw(XID, BEFORE, (1, 999))
    site.controller.attempt()
    assert ["Would ignore it: GPU 0, XID 999" in said for said in site.told()] == [True]


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ("serving:gpu_double_bit_errors:total", "a reset of the GPU"),
        ("serving:gpu_row_remap_failed:bool", "for the vendor"),
        ("serving:gpu_nvlink_recoveries:total", "for the vendor"),
    ],
)
def test_a_counter_that_grows_is_a_fault_and_one_that_begins_anew_is_none(site: Site, series: str, said: str) -> None:
    site.prometheus.saw(series, BEFORE, (1, 1))
    site.prometheus.saw(series, (300, 7), (1, 0), gpu="1")
    site.controller.attempt()
    assert [said in one and "GPU 0" in one for one in site.told()] == [True]
