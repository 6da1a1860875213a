"""What is set aside for a request until it is known what it takes."""

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """The most that a request may take.

    Attributes:
        tokens: of prompt and answer.
        cost_nano_usd: at the dearest route that may serve it.
    """

    tokens: int
    cost_nano_usd: int


@dataclasses.dataclass(frozen=True, slots=True)
class Meter:
    """Where one limit stands, for the caller.

    Attributes:
        limit: requests, or tokens, in a minute.
        remaining: what is left of it as far as this gateway knows.
        reset_seconds: until there is all of it again.
    """

    limit: int
    remaining: int
    reset_seconds: float


class Metered(Protocol):
    """What knows where the limits of a minute stand."""

    @property
    def requests(self) -> Meter | None:
        """Where the limit of requests stands; None where there is none."""

    @property
    def tokens(self) -> Meter | None:
        """Where the limit of tokens stands; None where there is none."""


class Reservation(Metered, Protocol):
    """A request's part of its key's limits. Settled or cancelled exactly once; a second time does nothing."""

    @property
    def priced(self) -> bool:
        """Whether the key has a budget, so that it matters what the request may cost."""

    def shrink(self, cost_nano_usd: int) -> None:
        """It has been placed: from here on it may cost so much at most. Never more than before."""

    async def cover(self, cost_nano_usd: int) -> None:
        """It may come to cost so much: set aside what is missing.

        Raises:
            Failure: QUOTA_EXHAUSTED, RATE_LIMITED or ACCOUNTING_UNAVAILABLE; what was set aside before still is.
        """

    def settle(self, tokens: int, cost_nano_usd: int) -> None:
        """It has ended: this is what it took. The rest is given back."""

    def cancel(self) -> None:
        """It is not accepted after all: it took nothing, not even a request."""


class Unlimited:
    """Of a key without limits."""

    requests: Meter | None = None
    tokens: Meter | None = None
    priced = False

    def shrink(self, cost_nano_usd: int) -> None:
        """Nothing is set aside."""

    async def cover(self, cost_nano_usd: int) -> None:
        """Nothing has to be."""

    def settle(self, tokens: int, cost_nano_usd: int) -> None:
        """Nothing was."""

    def cancel(self) -> None:
        """Nothing was."""


UNLIMITED = Unlimited()
