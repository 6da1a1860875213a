"""A vendor limits, fails and charges as it says."""

import statistics

import pytest

from services.router.simulator.vendor import Broken, Limited, Served, Vendor, VendorModel


def _asked(vendor: Vendor, identity: int, now: float, tokens: int = 100) -> Served | Limited | Broken:
    return vendor.submit(identity, tokens, 10, (), 1, now)


def test_more_requests_than_a_minute_may_have_are_told_when_there_is_room() -> None:
    vendor = Vendor(VendorModel(requests_per_minute=2), 0)
    assert isinstance(_asked(vendor, 1, 0.0), Served)
    assert isinstance(_asked(vendor, 2, 10.0), Served)
    assert _asked(vendor, 3, 20.0) == Limited(40.0)
    assert isinstance(_asked(vendor, 4, 60.0), Served)
    assert _asked(vendor, 5, 61.0) == Limited(9.0)


def test_more_tokens_than_a_minute_may_have_are_told_when_there_is_room() -> None:
    vendor = Vendor(VendorModel(tokens_per_minute=250), 0)
    _asked(vendor, 1, 0.0)
    _asked(vendor, 2, 5.0)
    assert _asked(vendor, 3, 6.0) == Limited(54.0), "once the first has left the minute"
    assert isinstance(_asked(vendor, 4, 60.0), Served)


def test_what_is_too_large_for_any_minute_is_served_once_nothing_else_is_in_it() -> None:
    vendor = Vendor(VendorModel(tokens_per_minute=50), 0)
    assert isinstance(_asked(vendor, 1, 0.0), Served)


def test_places_are_given_back() -> None:
    vendor = Vendor(VendorModel(concurrency=1), 0)
    assert isinstance(_asked(vendor, 1, 0.0), Served)
    assert isinstance(_asked(vendor, 2, 0.0), Limited)
    vendor.on_end()
    assert isinstance(_asked(vendor, 2, 0.0), Served)


def test_errors_and_times_belong_to_the_request_not_to_the_order() -> None:
    model = VendorModel(error_share=0.3)
    forth, back = Vendor(model, 0), Vendor(model, 0)
    first = {identity: _asked(forth, identity, 0.0) for identity in range(200)}
    assert first == {identity: _asked(back, identity, 0.0) for identity in reversed(range(200))}
    assert sum(isinstance(answer, Broken) for answer in first.values()) == pytest.approx(60, abs=20)


def test_times_have_the_medians_that_were_given() -> None:
    vendor = Vendor(VendorModel(first_seconds=0.5, input_token_seconds=0.0, tokens_per_second=50), 0)
    answers = [_asked(vendor, identity, 0.0) for identity in range(2000)]
    served = [answer for answer in answers if isinstance(answer, Served)]
    assert statistics.median(answer.first_at for answer in served) == pytest.approx(0.5, rel=0.05)
    assert statistics.median(9 / (answer.last_at - answer.first_at) for answer in served) == pytest.approx(50, rel=0.03)


def test_blocks_that_were_seen_are_cached() -> None:
    vendor = Vendor(VendorModel(cached_blocks=3), 0)
    hits = []
    for blocks in ((1, 2), (1, 2), (1, 2, 3, 4), (1, 2)):
        answer = vendor.submit(1, 5000, 10, blocks, 1, 0.0)
        assert isinstance(answer, Served)
        hits.append(answer.hit_tokens // 512)
    assert hits == [0, 2, 2, 0], "the fourth block has pushed out the first"
