"""Which router a gateway keeps to."""

import random

import pytest

from services.gateway.router_choice import HOME_SECONDS, RouterChoice, preference

ROUTERS = ("router", "router-2", "router-3")


def test_gateways_spread_over_the_routers_by_their_numbers() -> None:
    assert [preference(ROUTERS, number, ROUTERS)[0] for number in range(6)] == [*ROUTERS, *ROUTERS]
    assert preference(ROUTERS, 1, ()) == ("router-2", "router-3", "router")


def test_a_router_of_its_own_host_is_preferred_to_all_others() -> None:
    assert preference(ROUTERS, 0, ("gateway", "router-3", "echo-0")) == ("router-3", "router", "router-2")
    assert preference(ROUTERS, 1, ("router", "router-2")) == ("router-2", "router", "router-3")


@pytest.mark.parametrize("number", range(5))
def test_every_router_is_named_once(number: int) -> None:
    assert sorted(preference(ROUTERS, number, ("router-2",))) == sorted(ROUTERS)


def test_one_that_is_lost_is_left_for_one_that_is_well() -> None:
    choice = RouterChoice(3)
    choice.on_well(0, 0.0)
    choice.on_well(2, 0.0)
    choice.on_lost(0, 1.0)
    assert choice.current == 2, "nothing is known of the one between"


def test_with_nobody_well_each_is_tried_in_turn() -> None:
    choice = RouterChoice(3)
    tried = []
    for second in range(6):
        tried.append(choice.current)
        assert choice.alone == (second >= 3)
        choice.on_lost(choice.current, float(second))
    assert tried == [0, 1, 2, 0, 1, 2]


def test_the_only_router_is_kept_whatever_becomes_of_it() -> None:
    choice = RouterChoice(1)
    assert choice.alone, "there is nobody to wait for"
    choice.on_well(0, 0.0)
    assert not choice.alone
    choice.on_lost(0, 1.0)
    assert (choice.current, choice.alone) == (0, True)


def test_the_loss_of_another_one_changes_nothing() -> None:
    choice = RouterChoice(2)
    choice.on_lost(1, 0.0)
    assert (choice.current, choice.alone) == (0, False)


def test_the_preferred_one_is_gone_back_to_once_it_has_been_well_for_a_while() -> None:
    choice = RouterChoice(2)
    choice.on_lost(0, 0.0)
    choice.on_well(0, 5.0)
    choice.look(5.0 + HOME_SECONDS - 0.1)
    assert choice.current == 1
    choice.on_lost(0, 15.0)
    choice.on_well(0, 16.0)
    choice.on_well(0, 17.0)
    choice.look(16.0 + HOME_SECONDS - 0.1)
    assert choice.current == 1, "it was away in between"
    choice.look(16.0 + HOME_SECONDS)
    assert choice.current == 0


def test_one_that_is_lost_again_soon_is_given_longer_each_time() -> None:
    choice, now, waits = RouterChoice(2), 0.0, []
    for _ in range(7):
        choice.on_lost(0, now)
        choice.on_well(1, now)
        choice.on_well(0, now)
        begun = now
        while choice.current != 0:
            now += 1.0
            choice.look(now)
        waits.append(now - begun)
        now += 1.0
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 320.0]
    choice.on_lost(0, now + 320.0)
    choice.on_well(0, now + 320.0)
    choice.look(now + 330.0)
    assert choice.current == 0, "it has stayed well for long enough to be trusted again"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_current_one_is_well_if_any_is_and_has_just_changed(seed: int) -> None:
    rng, count = random.Random(seed), 3
    choice, well, now = RouterChoice(count), [False] * count, 0.0
    for _ in range(500):
        now += rng.expovariate(1.0)
        router, before = rng.randrange(count), choice.current
        if rng.random() < 0.6:
            well[router] = True
            choice.on_well(router, now)
            choice.look(now)
        else:
            well[router] = False
            choice.on_lost(router, now)
        if choice.current != before:
            assert well[choice.current] or not any(well)
            assert choice.current < before or not well[before], "it went further away for no reason"
        assert choice.alone <= (not any(well))
