"""What rate-limit headers say."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workers.vendor.headroom import Headroom, Reading, readings, seconds_until, total

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("12ms", 0.012),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3600),
        ("1d", 3600),
        ("20", 20),
        ("0.5", 0.5),
        (str(NOW + 7), 7),
        (str(int((NOW + 7) * 1000)), 7),
        ("2026-09-21T14:13:27Z", 7),
        ("-3", 0),
        ("", None),
        ("soon", None),
        ("0001-01-01", None),
        ("9" * 400 + "s", 3600),
        ("nan", None),
        ("inf", None),
    ],
)
def test_a_reset_is_read_however_it_is_written_and_believed_for_an_hour(text: str, seconds: float | None) -> None:
    told = seconds_until(text, now=NOW)
    assert told == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def headers(unit: str = "requests", **said: str) -> dict[str, str]:
    return {f"x-ratelimit-{name}-{unit}": value for name, value in said.items()}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (headers(limit="60", remaining="59", reset="1s"), [Reading("requests", 60, 59, 1.0)]),
        (headers("tokens", limit="100", remaining="0"), [Reading("tokens", 100, 0, 60.0)]),
        (headers(limit="60", remaining="-1", reset="1s"), []),
        (headers(limit="0", remaining="0", reset="1s"), []),
        (headers(remaining="5", reset="1s"), []),
        (headers(limit="many", remaining="5"), []),
        (headers(limit="5", remaining="9", reset="1s"), [Reading("requests", 5, 5, 1.0)]),
        ({}, []),
    ],
)
def test_readings_are_what_was_said_and_makes_sense(said: Mapping[str, str], read: list[Reading]) -> None:
    assert readings(said, now=NOW) == read


@given(st.dictionaries(st.sampled_from([*headers(limit="", remaining="", reset="")]), st.text(max_size=30)))
def test_no_header_raises_or_makes_nonsense(said: dict[str, str]) -> None:
    for reading in readings(said, now=NOW):
        assert 0 <= reading.remaining <= reading.limit < 1 << 63
        assert 0 <= reading.reset_after <= 3600


def test_what_is_known_ends_when_it_is_whole_again() -> None:
    known = Headroom()
    known.hear([Reading("requests", 60, 3, 10.0)], now=100)
    assert known.rate("tokens", now=100) is None
    rate = known.rate("requests", now=109.9)
    assert rate is not None
    assert (rate.limit, rate.remaining, rate.whole_at) == (60, 3, 110)
    assert known.rate("requests", now=110) is None


def test_what_has_run_out_is_back_at_its_reset_and_some_of_it_before() -> None:
    known = Headroom()
    known.hear([Reading("requests", 10, 0, 60.0), Reading("tokens", 10, 1, 90.0)], now=0)
    assert known.spent_until(now=1) == 60
    assert known.next_at(now=1) == 6
    assert known.spent_until(now=60) == -math.inf
    known.hear([Reading("requests", 10_000, 0, 60.0)], now=0)
    assert known.next_at(now=0) == 1, "no sooner than after a second"
    known.hear([Reading("requests", 10_000, 0, 0.1)], now=0)
    assert known.next_at(now=0) == 0.1, "but for a limit that is whole before"


def test_keys_together_have_the_sum_and_are_whole_with_the_last() -> None:
    first, second = Headroom(), Headroom()
    first.hear([Reading("tokens", 60, 3, 10.0)], now=0)
    second.hear([Reading("tokens", 40, 5, 20.0)], now=5)
    rates = [rate for one in (first, second) if (rate := one.rate("tokens", now=6))]
    assert total(rates, now=6) == Reading("", 100, 8, 19.0)
    assert total([], now=6) is None
