"""The sections of a scenario. Read once, never changed."""

import decimal
import pathlib
from typing import Annotated, Literal

import pydantic

from services.config.base import Section
from services.config.model import Price
from services.router.simulator.job import EngineModel
from services.router.simulator.traffic.request import Request
from services.router.simulator.vendor import VendorModel

Positive = Annotated[float, pydantic.Field(gt=0)]
_NotNegative = Annotated[float, pydantic.Field(ge=0)]
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Name = Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Provider(Section):
    """What groups of workers have in common."""

    name: Name
    role: Literal["primary", "fallback"] = "primary"
    price: Price = Price(input=decimal.Decimal(0))
    weight: Positive = pydantic.Field(default=1.0, description="Of its route, for the strategy `weighted`.")


class Group(Provider):
    """Equal workers with an engine each."""

    workers: int = pydantic.Field(ge=1, le=1024)
    speed: Positive = pydantic.Field(default=1.0, description="As a multiple of the engine model's own.")
    engine: EngineModel = EngineModel()


class VendorGroup(Provider):
    """A vendor, behind one worker."""

    model: VendorModel = VendorModel()


class Fault(Section):
    """Something that goes wrong for a while, counted from the first request.

    `dies`: the process is gone with all that runs there, and comes back empty. `stalls`: the engine does nothing, the
    worker goes on reporting. `hangs`: the worker is silent as well. `slows`: `factor` times the time for everything.
    `fails`: a `share` of the requests fail. `outage`: nothing can be reached and all that runs is lost, but nothing is
    forgotten.
    """

    kind: Literal["dies", "stalls", "hangs", "slows", "fails", "outage"]
    worker: str = pydantic.Field(
        description="A worker's name, `<group>-<index>`; a group's for all of it; `*` for all."
    )
    at_seconds: _NotNegative
    seconds: Positive
    factor: Positive = pydantic.Field(default=5.0, description="Of `slows`.")
    share: _Share = pydantic.Field(default=1.0, description="Of `fails`.")


class Generated(Section):
    """Settings of the generator. The defaults resemble Mooncake's conversations in rate and lengths."""

    requests: int = pydantic.Field(default=4000, ge=1)
    requests_per_second: Positive = 3.4
    burstiness: float = pydantic.Field(default=2.0, ge=0.1, description="Coefficient of variation of the gaps.")
    prefixes: int = pydantic.Field(default=64, ge=1, description="Prefixes that conversations begin with.")
    prefix_tokens: int = pydantic.Field(default=2048, ge=0)
    zipf_exponent: _NotNegative = 1.1
    continue_share: _Share = pydantic.Field(default=0.5, description="Requests that continue a conversation.")
    think_seconds: Positive = pydantic.Field(default=30.0, description="Mean time between two turns.")
    turn_tokens: Positive = pydantic.Field(default=2400.0, description="Median of what a turn adds; lognormal.")
    turn_sigma: _NotNegative = 1.2
    output_tokens: Positive = pydantic.Field(default=250.0, description="Median of an answer; lognormal.")
    output_sigma: _NotNegative = 0.8
    context_tokens: int = pydantic.Field(default=120_000, ge=1, description="A conversation is begun anew beyond that.")
    block_tokens: int = pydantic.Field(default=512, ge=1)


class Traffic(Section):
    """Where requests come from, and how many of them."""

    trace: pathlib.Path | None = pydantic.Field(default=None, description="A trace; default: the generator.")
    generated: Generated = Generated()
    rate: Positive = pydantic.Field(default=1.0, description="Time is divided by this.")
    thin: _Share = pydantic.Field(default=0.1, description="Share of the requests that each seed leaves out.")
    jitter_seconds: _NotNegative = pydantic.Field(
        default=3.0,
        description="Each request comes later by up to this, before the rate. Mooncake's times are rounded to 3 s.",
    )
    window_seconds: tuple[float, float] | None = pydantic.Field(
        default=None, description="Only requests of this part of the source's time: from, to."
    )
    requests: int = pydantic.Field(default=0, ge=0, description="Only so many requests; 0 is all.")


class Tenant(Section):
    """Somebody whom requests are served for."""

    key: str = pydantic.Field(min_length=1)
    share: Positive = pydantic.Field(default=1.0, description="Of the traffic, relative to the others.")
    weight: Positive = pydantic.Field(default=1.0, description="Of what there is, relative to the others.")
    criticality: Literal["unspecified", "sheddable", "sheddable_plus", "critical", "critical_plus"] = "unspecified"
    first_seconds: Positive | None = pydantic.Field(default=None, description="Own limit for the first token.")
    token_seconds: Positive | None = pydantic.Field(default=None, description="Own limit for each further one.")
    max_cost_usd: _NotNegative | None = pydantic.Field(default=None, description="Most that a request may cost.")


class Slo(Section):
    """What a good answer is: the first token after `first_seconds` and a time for the prompt, the others in step."""

    first_seconds: Positive = 2.0
    prompt_tokens_per_second: Positive = 8000.0
    token_seconds: Positive = 0.05

    def first_content(self, request: Request) -> float:
        """Longest good time to the first token of a request, which may bring a limit of its own."""
        return (request.first_seconds or self.first_seconds) + request.input_tokens / self.prompt_tokens_per_second

    def token(self, request: Request) -> float:
        """Longest good time for each further token of a request."""
        return request.token_seconds or self.token_seconds


class Wiring(Section):
    """Routers, and how they hear of the fleet."""

    routers: int = pydantic.Field(default=1, ge=1, le=64)
    network_seconds: _NotNegative = pydantic.Field(default=0.001, description="Between gateway and worker, one way.")
    staleness_seconds: _NotNegative = pydantic.Field(default=0.0, description="A report's way to a router.")
    report_seconds: Positive = pydantic.Field(default=0.05, description="Least time between two reports.")
    silence_seconds: Positive = pydantic.Field(default=1.0, description="Most time between two reports.")
    share_load: bool = pydantic.Field(default=True, description="Whether reports count what other routers have placed.")
    share_prefixes: bool = pydantic.Field(default=True, description="Whether reports tell what others have had read.")
    told_cache: Positive = pydantic.Field(default=1.0, description="Size of caches as reported, by their true one.")
    tell_slo: bool = pydantic.Field(default=True, description="Whether routers are told what is good.")
    continuable: bool = pydantic.Field(default=True, description="Whether broken answers may be gone on with.")
    tell_output: bool = pydantic.Field(default=False, description="Whether requests are limited to their output.")
