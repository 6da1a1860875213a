"""Periods of limits."""

import datetime

from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.quota.window import ALWAYS, Measure, moment, period_of

TIMES = st.floats(0, 4_102_444_800, allow_nan=False)
LONGEST: dict[Measure, int] = {"requests": 60, "tokens": 60, "usd_day": 86_400, "usd_month": 31 * 86_400}


def at(*when: int) -> float:
    return datetime.datetime(*when, tzinfo=datetime.UTC).timestamp()  # type: ignore[arg-type,misc]


@given(TIMES, st.sampled_from(list(LONGEST)))
@example(2051222399.9999995, "usd_month")
def test_each_time_is_in_one_period_and_the_next_one_begins_where_it_ends(time: float, measure: Measure) -> None:
    period = period_of(measure, time)
    assert period.start <= time < period.end
    assert period.end - period.start <= LONGEST[measure]
    assert period_of(measure, period.start) == period
    assert period_of(measure, period.end).start == period.end


def test_a_month_ends_where_the_calendar_says_so() -> None:
    assert period_of("usd_month", at(2024, 2, 29, 23, 59, 59)) == (at(2024, 2, 1), at(2024, 3, 1))
    assert period_of("usd_month", at(2026, 12, 31)) == (at(2026, 12, 1), at(2027, 1, 1))


def test_a_day_begins_at_midnight_utc() -> None:
    assert moment(period_of("usd_day", at(2026, 11, 25, 23, 59)).end).isoformat() == "2026-11-26T00:00:00+00:00"


def test_slots_have_no_period() -> None:
    assert period_of("concurrency", 1e9) == ALWAYS
