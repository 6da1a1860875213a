"""Which months there have to be, and which are over: pure arithmetic, in UTC."""

import datetime

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.loader import months

MOMENTS = st.integers(1_577_836_800, 4_000_000_000).map(lambda at: datetime.datetime.fromtimestamp(at, datetime.UTC))


def day(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def test_there_are_this_month_and_those_after_it_across_years() -> None:
    wanted = [day("2026-11-01"), day("2026-12-01"), day("2027-01-01")]
    assert months.ahead(day("2026-11-30T23:59:59"), 2) == wanted


def test_a_month_begins_in_utc() -> None:
    east = datetime.datetime(2026, 12, 1, 0, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert months.ahead(east, 0) == [day("2026-11-01")]


def test_rows_are_kept_for_so_many_whole_months_after_their_own() -> None:
    assert months.kept_from(day("2026-11-25"), 1) == day("2026-10-01")
    assert months.kept_from(day("2026-03-31"), 13) == day("2025-02-01")


def test_what_ends_before_is_over_by_month_the_oldest_first_and_what_is_no_month_never() -> None:
    names = ("attempts_202610", "requests_202609", "attempts_202609", "requests_202512", "requests_202610")
    odd = ("requests_early", "requests_late", "requests_20261", "requests_2O2501", "other_2025")
    assert months.over((*names, *odd), day("2026-10-01")) == [
        ("requests_202512",),
        ("requests_202609", "attempts_202609"),
    ]


@given(MOMENTS, st.integers(1, 1200))
def test_nothing_that_must_be_there_is_ever_over(now: datetime.datetime, retention: int) -> None:
    kept = months.kept_from(now, retention) if now.year * 12 > retention + 12 else day("0001-01-01")
    assert months.over([f"requests_{month:%Y%m}" for month in months.ahead(now, 2)], kept) == []
