"""A stop string is found wherever the borders of the pieces fall, and no other letter is lost or shown too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qwen_runtime.engine.transformers.stopping import StopStrings

LETTERS = st.text("ab", min_size=1, max_size=4)


def shown(pieces: list[str], stops: list[str]) -> tuple[str, str | None]:
    strings = StopStrings(stops)
    text = "".join([strings.feed(piece) for piece in pieces])
    return text + strings.flush(), strings.found


@pytest.mark.parametrize("pieces", [["one END two"], ["one E", "N", "D two"], list("one END two")])
def test_text_ends_before_the_stop_string(pieces: list[str]) -> None:
    assert shown(pieces, ["END"]) == ("one ", "END")


def test_what_may_become_a_stop_string_is_held_back_until_it_is_known() -> None:
    stops = StopStrings(["END"])
    assert [stops.feed(piece) for piece in ("xE", "N", "x")] == ["x", "", "ENx"]


def test_the_stop_string_counts_that_is_complete_first() -> None:
    assert shown(["abcd"], ["cd", "bc"]) == ("a", "bc")
    assert shown(["abcd"], ["abcd", "bc"]) == ("a", "bc")


def test_of_two_that_end_together_the_first_that_was_asked_for_counts() -> None:
    assert shown(["the capital of"], [" of", "capital of"]) == ("the capital", " of")
    assert shown(["the capital of"], ["capital of", " of"]) == ("the ", "capital of")


def test_nothing_follows_a_stop_string() -> None:
    stops = StopStrings(["."])
    assert [stops.feed("a.b"), stops.feed("c"), stops.flush()] == ["a", "", ""]


@given(st.lists(st.text("ab", max_size=3)), st.lists(LETTERS, max_size=3))
def test_pieces_make_no_difference(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    text, stop = shown(pieces, stops)
    hits = [whole.find(stop) for stop in stops if stop in whole]
    if stop is None:
        assert (text, hits) == (whole, [])
    else:
        assert stop in stops
        assert whole.startswith(text + stop)
        assert not any(stop in text for stop in stops)
