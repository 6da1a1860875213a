"""One limit, leased by several gateways: what no order of events can bring about."""

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.gateway.quota.allowance import Allowance, Lease
from services.gateway.quota.window import period_of
from tests.gateway.quota.table import decide

AMOUNTS = st.integers(0, 400)
WHO = st.integers(0, 2)
NOW = 1e9


class Gateways(RuleBasedStateMachine):
    """Three gateways share a budget of 1000. The table's word is `written`."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 1000
        period = period_of("usd_day", NOW)
        self.allowances = [Allowance("usd_day", period, self.limit) for _ in range(3)]
        self.written = [0, 0, 0]
        self.running: list[tuple[int, int]] = []
        self.spent = [0, 0, 0]
        self.overdrawn = 0

    def _write(self, who: int, wish, *, heard: bool) -> None:
        others = sum(self.written) - self.written[who]
        amount = self.written[who] = decide(self.limit, others, wish)
        if heard:
            self.allowances[who].take(Lease(self.limit, others, amount))

    @rule(who=WHO, amount=AMOUNTS, heard=st.booleans())
    def lease(self, who: int, amount: int, heard: bool) -> None:
        self._write(who, self.allowances[who].wish(amount, amount), heard=heard)

    @rule(who=WHO, keep=AMOUNTS, heard=st.booleans(), reached=st.booleans())
    def give_back(self, who: int, keep: int, heard: bool, reached: bool) -> None:
        wish = self.allowances[who].returned(keep)
        if reached:
            self._write(who, wish, heard=heard)

    @rule(who=WHO, amount=AMOUNTS)
    def reserve(self, who: int, amount: int) -> None:
        allowance = self.allowances[who]
        if allowance.fits(amount):
            allowance.reserve(amount)
            self.running.append((who, amount))
            assert not amount or allowance.used <= allowance.granted

    @rule(data=st.data(), took=AMOUNTS)
    def settle(self, data: st.DataObject, took: int) -> None:
        if self.running:
            who, amount = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
            self.allowances[who].settle(amount, took)
            self.spent[who] += took
            self.overdrawn += max(0, took - amount)

    @invariant()
    def the_sum_of_what_gateways_rely_on_is_within_the_limit_but_for_what_took_more_than_was_reserved(self) -> None:
        assert sum(allowance.granted for allowance in self.allowances) <= self.limit + self.overdrawn
        assert sum(self.written) <= self.limit + self.overdrawn
        assert sum(allowance.used for allowance in self.allowances) <= self.limit + self.overdrawn

    @invariant()
    def nobody_relies_on_more_than_is_written(self) -> None:
        for allowance, written in zip(self.allowances, self.written, strict=True):
            assert allowance.granted <= written

    @invariant()
    def every_unit_is_accounted_for(self) -> None:
        for who, allowance in enumerate(self.allowances):
            assert allowance.spent == self.spent[who]
            assert allowance.reserved == sum(amount for whose, amount in self.running if whose == who)

    def teardown(self) -> None:
        """Whatever happened: when all has ended and is given back, the table has exactly what was spent."""
        while self.running:
            who, amount = self.running.pop()
            self.allowances[who].settle(amount, amount)
            self.spent[who] += amount
        for who, allowance in enumerate(self.allowances):
            self._write(who, allowance.returned(0), heard=True)
            assert allowance.settled
        assert self.written == self.spent


TestGateways = Gateways.TestCase
TestGateways.settings = hypothesis.settings(max_examples=60, stateful_step_count=40)


def allowance(granted: int = 0, *, limit: int = 1000, others: int = 0) -> Allowance:
    made = Allowance("usd_day", period_of("usd_day", NOW), limit)
    made.take(Lease(limit, others, granted))
    return made


def test_what_was_taken_beyond_the_reservation_is_made_up_for_before_anything_else() -> None:
    one = allowance(100)
    one.reserve(50)
    one.settle(50, 130)
    assert one.free == -30
    assert not one.fits(1)
    assert one.fits(0), "it makes nothing worse"
    wish = one.wish(10, 10)
    assert (wish.held, wish.enough) == (130, 140)
    one.take(Lease(1000, 0, decide(1000, 0, wish)))
    assert one.fits(10)


def test_a_lease_is_never_smaller_than_the_reservation_at_hand() -> None:
    one = allowance()
    wish = one.wish(700, 700)
    assert decide(1000, 300, wish) == 700
    assert decide(1000, 301, wish) == 0, "less would not help"


def test_beside_what_is_needed_a_twentieth_of_what_is_left_is_leased_and_of_money_a_dollar_at_most() -> None:
    assert decide(1000, 0, allowance().wish(100, 100)) == 100 + 900 // 20
    dollars = allowance(limit=10**12).wish(10**9, 10**9)
    assert decide(10**12, 0, dollars) == 2 * 10**9


def test_a_lowered_limit_holds_at_once_whatever_is_leased() -> None:
    one = allowance(500)
    one.tell(100)
    assert one.fits(100)
    assert not one.fits(101)


def test_a_gateway_alone_has_an_equal_part_of_all_but_money() -> None:
    money, tokens = allowance(), Allowance("tokens", period_of("tokens", NOW), 1000)
    for one in (money, tokens):
        one.go_alone(4)
    assert not money.fits(1)
    assert tokens.fits(250)
    tokens.reserve(250)
    assert not tokens.fits(1)


def test_alone_one_request_is_let_in_that_is_larger_than_the_part_of_the_limit() -> None:
    tokens = Allowance("tokens", period_of("tokens", NOW), 1000)
    tokens.go_alone(4)
    assert tokens.fits(900)
    tokens.reserve(900)
    assert not tokens.fits(1)
