"""What the keys of a vendor have together."""

from typing import Any

import pydantic
import pytest

from services.config.provider import OpenAIProvider as Config
from services.workers.vendor.headroom import Reading
from services.workers.vendor.pools import Pools


def config(**settings: Any) -> Config:
    given = {"kind": "openai", "api_keys": ["sk-a", "sk-b"], "models": ["m", "n"], **settings}
    return Config.model_validate(given)


def test_headroom_is_the_sum_of_a_models_keys_and_of_the_model_with_least_left() -> None:
    pools = Pools(config())
    assert pools.headroom(now=0) == []
    pools["m"].hear(0, [Reading("requests", 60, 50, 10.0)], now=0)
    pools["m"].hear(1, [Reading("requests", 60, 40, 20.0)], now=0)
    pools["n"].hear(0, [Reading("requests", 600, 550, 5.0), Reading("tokens", 9, 1, 5.0)], now=0)
    requests, tokens = pools.headroom(now=4)
    assert (requests.unit, requests.remaining, requests.limit) == ("requests", 90, 120)
    assert requests.reset_after.seconds == 16
    assert (tokens.unit, tokens.remaining, tokens.limit) == ("tokens", 1, 9)
    assert tokens.reset_after.seconds == 1
    assert [one.unit for one in pools.headroom(now=5)] == ["requests"]
    assert pools.headroom(now=20) == []


def test_the_limit_is_as_configured_and_can_be_off() -> None:
    pools = Pools(config(adaptive_limit={"initial": 1, "maximum": 4}))
    pools["m"].lease(0, now=0)
    assert list(pools["m"].turn(now=0)) == [1]
    assert pools.leases == 1
    for off in (False, "off", None):
        unlimited = Pools(config(adaptive_limit=off))["m"]
        for _ in range(20_000):
            unlimited.lease(0, now=0)
        assert len(list(unlimited.turn(now=0))) == 2


def test_a_limit_that_begins_above_its_maximum_is_a_mistake() -> None:
    with pytest.raises(pydantic.ValidationError, match="more than `maximum`"):
        config(adaptive_limit={"initial": 5, "maximum": 4})
