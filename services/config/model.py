"""Models: the names that callers may ask for, and the routes that lead from them to providers."""

import decimal
from typing import Annotated, Literal, Self

import pydantic

from services.config.base import Section
from services.config.strategy import AnyStrategy, LeastLoaded
from services.config.tariff import Tariff, Tier

_Tag = Annotated[str, pydantic.Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:/-]+$")]
_Name = Annotated[str, pydantic.Field(min_length=1, max_length=256)]


# Whole pico-USD: for a token that is six decimals of USD for a million, for a second it is twelve of USD.
_Millionth = Annotated[decimal.Decimal, pydantic.Field(ge=0, le=1_000_000, decimal_places=6)]
_PICO_IN_MILLION = 10**6
_PICO = 10**12


class Price(Section):
    """What a request costs, in USD: tokens by the million, and time by the second of an attempt."""

    input: _Millionth | None = pydantic.Field(default=None, description="Of the prompt. Default: nothing.")
    output: _Millionth | None = pydantic.Field(
        default=None, description="Of the answer, thinking included. Default: nothing."
    )
    cached_input: _Millionth | None = pydantic.Field(
        default=None, description="Of the prompt, where it was in the provider's cache. Default: `input`."
    )
    second: Annotated[decimal.Decimal, pydantic.Field(ge=0, le=1_000, decimal_places=12)] | None = pydantic.Field(
        default=None, description="Of a second from an attempt's placement to its end. Default: nothing."
    )

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a price says at least one of `input`, `output`, `cached_input` and `second`")
        return self

    @property
    def tariff(self) -> Tariff:
        """The same in whole pico-USD."""
        asked, answered = self.input or 0, self.output or 0
        cached = asked if self.cached_input is None else self.cached_input
        tier = Tier(
            0,
            input=int(asked * _PICO_IN_MILLION),
            cached_input=int(cached * _PICO_IN_MILLION),
            output=int(answered * _PICO_IN_MILLION),
        )
        return Tariff((tier,), second=int((self.second or 0) * _PICO), source="configuration")


class Route(Section):
    """One way from a model's name to a provider's model."""

    provider: str
    model: str = pydantic.Field(default="", description="The provider's name for it. Default: its only model.")
    role: Literal["primary", "fallback", "canary", "shadow"] = pydantic.Field(
        default="primary",
        description="When it serves: always; when no primary one can in time; a share first; a share besides, unseen.",
    )
    share: float = pydantic.Field(
        default=0.0, ge=0, le=1, description="Of a canary or a shadow: the share of requests that it is given."
    )
    weight: float = pydantic.Field(default=1.0, gt=0, le=1e6, description="For the strategy `weighted`.")
    tags: tuple[_Tag, ...] = pydantic.Field(default=(), description="What callers may ask for, such as a region.")
    price: Price | None = pydantic.Field(
        default=None,
        description="Of the provider's model, on every route. Default: its public price; none for engines of your own.",
    )
    on_unsupported: Literal["refuse", "drop"] = pydantic.Field(
        default="refuse", description="What becomes of parameters that the provider does not have."
    )

    @pydantic.model_validator(mode="after")
    def _shares_where_it_should(self) -> Self:
        shared = self.role in ("canary", "shadow")
        if shared and not self.share:
            raise ValueError(f"a {self.role} route needs a `share` above 0")
        if self.share and not shared:
            raise ValueError(f"`share` is for canary and shadow routes, not for a {self.role} one; see `weight`")
        return self


class Slo(Section):
    """How soon an answer has to begin to be any good."""

    first_content_seconds: float | None = pydantic.Field(
        default=None, gt=0, le=3600, description="Longest time to the first content. Default: any time is good."
    )


class Queue(Section):
    """Requests that wait in the router until a worker has room."""

    max_waiting: int = pydantic.Field(default=512, ge=0, le=100_000, description="Most of them; 0: none waits.")
    max_seconds: float = pydantic.Field(default=60.0, gt=0, le=3600, description="Longest wait.")


class Model(Section):
    """A name that callers may ask for."""

    name: _Name
    aliases: tuple[_Name, ...] = pydantic.Field(default=(), description="Other names for it.")
    strategy: AnyStrategy = LeastLoaded()
    routes: tuple[Route, ...] = pydantic.Field(min_length=1)
    slo: Slo = Slo()
    queue: Queue = Queue()
    owner: str = "hybridinference"
    context_tokens: int = pydantic.Field(default=0, ge=0, description="0: as the workers report it.")

    @pydantic.field_validator("routes")
    @classmethod
    def _serves(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        if not any(route.role in ("primary", "fallback") for route in routes):
            raise ValueError("no route is primary or fallback: nothing would serve what a canary or shadow does not")
        for role in ("canary", "shadow"):
            if sum(route.share for route in routes if route.role == role) > 1:
                raise ValueError(f"the shares of the {role} routes add up to more than 1")
        return routes
