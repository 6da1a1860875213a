"""What tokens and time come to."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.config.tariff import Tariff, Tier, as_usd, micros

_PICO = st.integers(0, 10**12)
_TOKENS = st.integers(0, 2**32)
_MICROS = st.integers(0, 10**11)


@st.composite
def _tariffs(draw: st.DrawFn) -> Tariff:
    starts = draw(st.lists(st.integers(1, 10**6), max_size=3, unique=True).map(sorted))
    tiers = []
    dearest = [0, 0, 0]
    for start in (0, *starts):  # prices grow with the prompt
        dearest = [price + draw(st.integers(0, 10**9)) for price in dearest]
        tiers.append(Tier(start, input=dearest[0], cached_input=min(dearest[1], dearest[0]), output=dearest[2]))
    return Tariff(tuple(tiers), second=draw(_PICO))


def _exact(tariff: Tariff, asked: int, cached: int, answered: int, time: int) -> Fraction:
    """Nano-USD, by a way of its own."""
    tier = [tier for tier in tariff.tiers if asked > tier.above_input_tokens or not tier.above_input_tokens][-1]
    cached = min(cached, asked)
    pico = (asked - cached) * tier.input + cached * tier.cached_input + answered * tier.output
    return Fraction(pico, 1000) + Fraction(time, 10**6) * Fraction(tariff.second, 1000)


@given(tariff=_tariffs(), asked=_TOKENS, cached=_TOKENS, answered=_TOKENS, time=_MICROS)
def test_a_cost_is_exact_and_rounded_up_once(tariff: Tariff, asked: int, cached: int, answered: int, time: int) -> None:
    cost = tariff.nano_usd(asked, cached, answered, time)
    assert cost == ceil(_exact(tariff, asked, cached, answered, time))
    assert cost >= 0


@given(tariff=_tariffs(), asked=_TOKENS, cached=_TOKENS, answered=_TOKENS, time=_MICROS, more=_TOKENS)
def test_more_never_costs_less(tariff: Tariff, asked: int, cached: int, answered: int, time: int, more: int) -> None:
    cached = min(cached, asked)
    cost = tariff.nano_usd(asked, cached, answered, time)
    assert tariff.nano_usd(asked, cached, answered + more, time) >= cost
    assert tariff.nano_usd(asked, cached, answered, time + more) >= cost
    assert tariff.nano_usd(asked + more, cached, answered, time) >= cost
    assert (
        tariff.nano_usd(asked, cached // 2, answered, time) >= cost
    )  # what is cached never costs more than what is not


@given(price=_PICO, second=_PICO, parts=st.lists(st.tuples(_TOKENS, _TOKENS, _MICROS), min_size=1, max_size=6))
def test_parts_cost_what_the_whole_does_but_for_the_rounding_of_each(
    price: int, second: int, parts: list[tuple[int, int, int]]
) -> None:
    tariff = Tariff((Tier(0, input=price, cached_input=price // 2, output=2 * price),), second)
    whole = tariff.nano_usd(*(sum(column) for column in zip(*((a, 0, b, c) for a, b, c in parts), strict=True)))
    apart = sum(tariff.nano_usd(asked, 0, answered, time) for asked, answered, time in parts)
    assert whole <= apart < whole + len(parts)


@given(tariff=_tariffs(), asked=_TOKENS, cached=_TOKENS, answered=_TOKENS, time=_MICROS)
def test_nothing_costs_more_than_the_most_that_it_may(
    tariff: Tariff, asked: int, cached: int, answered: int, time: int
) -> None:
    assert tariff.nano_usd(asked, cached, answered, time) <= tariff.most_nano_usd(asked, answered, time)


@given(tariff=_tariffs(), asked=st.integers(0, 10**6), share=st.floats(0, 1), answered=_TOKENS, time=_MICROS)
def test_what_is_expected_is_what_is_charged_but_for_the_rounding(
    tariff: Tariff, asked: int, share: float, answered: int, time: int
) -> None:
    cached = int(asked * share)
    expected = tariff.expected_nano_usd(asked, cached, answered, time / 1e6)
    assert tariff.nano_usd(asked, cached, answered, time) == pytest.approx(expected, rel=1e-9, abs=1.0)


@given(time=_MICROS)
def test_whole_microseconds_stay_what_they_are(time: int) -> None:
    assert micros(time / 1e6) == time
    assert micros(-time / 1e6) == 0


@pytest.mark.parametrize(
    ("nano", "usd"),
    [(1234, "0.000001234"), (10**9, "1.000000000"), (12_345_678_901, "12.345678901")],
)
def test_an_amount_is_told_exactly(nano: int, usd: str) -> None:
    assert as_usd(nano) == usd
