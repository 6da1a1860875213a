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


class Reservation(Protocol):
    """A request's part of its key's limits. Settled exactly once; a second time does nothing."""

    @property
    def requests(self) -> Meter | None:
        """Where the limit of requests stands; None where there is none."""

    @property
    def tokens(self) -> Meter | None:
        """Where the limit of tokens stands; None where there is none."""

    def shrink(self, cost_nano_usd: int) -> None:
        """It has been placed: from here on it may cost so much at most. Never more than before."""

    def settle(self, tokens: int, cost_nano_usd: int) -> None:
        """It has ended: this is what it took. The rest is given back."""


class Unlimited:
    """Of a key without limits."""

    requests: Meter | None = None
    tokens: Meter | None = None

    def shrink(self, cost_nano_usd: int) -> None:
        """Nothing is set aside."""

    def settle(self, tokens: int, cost_nano_usd: int) -> None:
        """Nothing was."""


UNLIMITED = Unlimited()
