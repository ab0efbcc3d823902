"""All hosts end complete, none feeds more than its fan-out, and rounds grow with the logarithm of their number."""

from __future__ import annotations

import json
import math

import pytest
from qwen_runtime.cli import main
from qwen_runtime.weights import distribute
from qwen_runtime.weights.distribute import MIRROR, Site

GBIT = 1e9 / 8
SITE = Site(size_bytes=482e9, host_bytes_per_s=25 * GBIT, mirror_bytes_per_s=10 * GBIT)
each_size = pytest.mark.parametrize("hosts", [1, 2, 3, 4, 7, 8, 16, 31, 64, 100, 256])
each_fan_out = pytest.mark.parametrize("fan_out", [1, 2, 4])


def names(hosts: int) -> list[str]:
    return [f"h{number}" for number in range(hosts)]


@each_size
@each_fan_out
def test_every_host_gets_the_model_once_from_one_that_had_it_before(hosts: int, fan_out: int) -> None:
    complete = {MIRROR}
    for round_ in distribute.schedule(names(hosts), fan_out, 2).rounds:
        takers = [transfer.taker for transfer in round_]
        assert {transfer.giver for transfer in round_} <= complete
        assert not complete & set(takers)
        assert len(takers) == len(set(takers))
        complete |= set(takers)
    assert complete == {MIRROR, *names(hosts)}


@each_size
@each_fan_out
@pytest.mark.parametrize("mirror_fan_out", [1, 2])
def test_rounds_grow_with_the_logarithm(hosts: int, fan_out: int, mirror_fan_out: int) -> None:
    rounds = distribute.schedule(names(hosts), fan_out, mirror_fan_out).rounds
    assert len(rounds) == 1 + math.ceil(round(math.log(max(hosts / mirror_fan_out, 1), 1 + fan_out), 9))


@each_size
@each_fan_out
def test_played_out_every_host_ends_complete_and_no_link_is_shared_by_more_than_planned(
    hosts: int, fan_out: int
) -> None:
    outcome = distribute.simulate(distribute.schedule(names(hosts), fan_out, 2), SITE)
    assert set(outcome.finished_s) == set(names(hosts))
    most = {giver: count for giver, count in outcome.most_uploads.items() if giver != MIRROR}
    assert all(count <= fan_out for count in most.values())
    assert len(most) > 0 or hosts <= 2
    assert outcome.most_uploads[MIRROR] == min(hosts, 2)
    assert outcome.mirror_bytes == min(hosts, 2) * SITE.size_bytes


def test_one_round_takes_what_its_links_allow() -> None:
    """The mirror feeds two at 5 Gbit/s each; then each of them feeds two at 12.5 Gbit/s each."""
    outcome = distribute.simulate(distribute.schedule(names(6), 2, 2), SITE)
    assert outcome.seconds == pytest.approx(482 / (5 / 8) + 482 / (12.5 / 8))
    assert distribute.from_mirror_seconds(6, SITE) == pytest.approx(6 * 482 / (10 / 8))


def test_a_taker_never_takes_faster_than_its_own_link() -> None:
    fast_mirror = Site(100.0, host_bytes_per_s=1.0, mirror_bytes_per_s=1000.0)
    assert distribute.simulate(distribute.schedule(names(2), 1, 2), fast_mirror).seconds == pytest.approx(100)
    assert distribute.from_mirror_seconds(2, fast_mirror) == pytest.approx(100)


@pytest.mark.parametrize("hosts", [8, 32, 256])
def test_many_hosts_are_served_sooner_than_by_the_mirror_alone(hosts: int) -> None:
    seconds = distribute.simulate(distribute.schedule(names(hosts), 2, 2), SITE).seconds
    assert seconds < distribute.from_mirror_seconds(hosts, SITE)


def test_each_host_asks_its_giver_first_and_then_those_above() -> None:
    assert distribute.schedule(names(6), 1, 1).neighbours() == {
        "h0": [],
        "h1": ["h0"],
        "h2": ["h0"],
        "h3": ["h1", "h0"],
        "h4": ["h0"],
        "h5": ["h1", "h0"],
    }


def test_the_command_prints_the_plan_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "distribute", "a", "b", "c", "--mirror-fan-out", "1", "--size-gb", "100"]) == 0
    out = capsys.readouterr().out
    assert "round 2: a > b, a > c" in out
    assert "100.00 GB to 3 hosts" in out
    assert main(["weights", "distribute", "--count", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["neighbours"]["host-003"] == ["host-001"]
    assert document["simulated"]["seconds"] > 0
    assert document["simulated"]["most_uploads"] == {"mirror": 2, "host-001": 1}


@pytest.mark.parametrize("arguments", [[], ["a", "a"], ["a", "mirror"], ["a", "--count", "2"]])
def test_hosts_that_cannot_be_meant_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "distribute", *arguments]) == 2
    assert "Name the hosts" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "x"])
def test_speeds_that_are_none_are_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["weights", "distribute", "a", f"--host-gbit={value}"])
    assert "number" in capsys.readouterr().err
