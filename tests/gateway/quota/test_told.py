"""What callers are told of their limits."""

from services.gateway.quota.reservation import UNLIMITED, Meter, Unlimited
from services.gateway.quota.told import limit_headers


def test_limits_of_a_minute_are_told_as_openai_does() -> None:
    class Limited(Unlimited):
        requests = Meter(60, 59, 0.2)
        tokens = Meter(10_000, 0, 360.0)

    assert dict(limit_headers(Limited())) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }


def test_of_a_key_without_such_limits_nothing_is_told() -> None:
    assert limit_headers(UNLIMITED) == ()
