"""What a user's wishes mean, and which are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.policy.hints import KNOWN, meant

ASKED = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("hints", "meaning"),
    [
        ({}, {}),
        ({"rack": "7"}, {}),
        ({"duration": "60"}, {"min_duration": 60 * SECOND, "max_duration": 60 * SECOND}),
        ({"max-duration": "1.5"}, {"max_duration": 1_500_000}),
        (
            {"duration": "60", "max-duration": "90"},
            {"min_duration": 60 * SECOND, "max_duration": 90 * SECOND},
        ),
        ({"start": "+90"}, {"start": ASKED + 90 * SECOND}),
        ({"start": "2030-01-31T18:00:00Z"}, {"start": 1_896_112_800 * SECOND}),
        ({"start": "2030-01-31T19:00:00+01:00"}, {"start": 1_896_112_800 * SECOND}),
        ({"start": "2030-01-31T18:00:00"}, {"start": 1_896_112_800 * SECOND}),
        ({"bid": "0.25"}, {"bid": 0.25}),
        ({"priority": "-3"}, {"priority": -3}),
        ({"wait": "0"}, {"wait": 0}),
    ],
)
def test_what_hints_mean(hints, meaning):
    assert meant(hints, ASKED) == meaning


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("duration", "long", "'duration' is 'long'; it has to be a number of seconds"),
        ("duration", "-1", "a number of seconds"),
        ("wait", "nan", "a number of seconds"),
        ("wait", "inf", "a number of seconds"),
        ("wait", "1_000", "a number of seconds"),
        ("wait", "٣", "a number of seconds"),
        ("wait", "4000000000", "at most 3162240000"),
        ("start", "tomorrow", "a moment as 2030-01-31T18:00:00Z, or \\+ and seconds"),
        ("start", "+", "a number of seconds"),
        ("start", "9999-12-31T23:59:59-23:59", "the next hundred years"),
        ("start", "0001-01-01T00:00:00+23:59", "the next hundred years"),
        ("bid", "-0.1", "a price"),
        ("priority", "1.5", "a whole number"),
        ("priority", "--1", "a whole number"),
    ],
)
def test_what_they_cannot_mean(name, value, said):
    with pytest.raises(EucaError, match=said) as refused:
        meant({name: value}, ASKED)
    assert refused.value.symbol == "parameter_invalid"


def test_no_longer_than_it_is_wanted():
    with pytest.raises(EucaError, match="at least as long as duration, 60"):
        meant({"duration": "60", "max-duration": "30"}, ASKED)


@given(draw.dictionaries(draw.sampled_from(KNOWN), draw.text(max_size=30)))
def test_anything_has_a_meaning_or_is_refused(hints):
    try:
        told = meant(hints, ASKED)
    except EucaError as refused:
        assert refused.symbol == "parameter_invalid"  # noqa: PT017
        return
    assert all(type(value) in (int, float) for value in told.values())
