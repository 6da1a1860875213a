"""How long one answer may take."""

import pytest

from services.config.provider import OpenAIProvider
from services.workers.vendor.patience import Patience


def patience(first: float, idle: float, total: float) -> Patience:
    given = {"first_token_seconds": first, "idle_seconds": idle, "total_seconds": total}
    config = OpenAIProvider.model_validate({"kind": "openai", "api_keys": ["none"], "models": ["m"], **given})
    return Patience(config, now=100)


@pytest.mark.parametrize(
    ("first", "idle", "now", "stages"),
    [
        (5, 3, 101, ("first_token", "idle")),
        (50, 3, 108, ("total", "total")),
        (5, 3, 107, ("first_token", "total")),
    ],
)
def test_what_was_late_follows_from_the_bounds_even_if_a_timer_fires_early(
    first: float, idle: float, now: float, stages: tuple[str, str]
) -> None:
    one = patience(first, idle, total=10)
    late = one.without_next(by=one.next_by(now=now))
    assert (one.without_first().metadata["stage"], late.metadata["stage"]) == stages
