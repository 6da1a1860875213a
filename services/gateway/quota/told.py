"""How a caller is told where the limits of a minute stand. Pure."""

import math

from services.gateway.quota.reservation import Metered

UNITS = ("requests", "tokens")


def limit_headers(limits: Metered) -> tuple[tuple[str, str], ...]:
    """Where the limits of a key stand, in the words and the form of OpenAI."""
    headers: list[tuple[str, str]] = []
    for name, meter in zip(UNITS, (limits.requests, limits.tokens), strict=True):
        if meter is not None:
            headers += (
                (f"x-ratelimit-limit-{name}", str(meter.limit)),
                (f"x-ratelimit-remaining-{name}", str(meter.remaining)),
                (f"x-ratelimit-reset-{name}", _duration(meter.reset_seconds)),
            )
    return tuple(headers)


def _duration(seconds: float) -> str:
    """Seconds, rounded up: `1s`, `6m0s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
