"""A scenario: a fleet, what goes wrong with it, who calls, and what counts as good. Read from YAML, never changed."""

import importlib.resources
import pathlib
from typing import Annotated, Literal, Self

import pydantic

from services.chassis import config
from services.config.base import Section
from services.config.flags import Flags
from services.config.model import Queue
from services.config.router import Router
from services.router.simulator.job import EngineModel
from services.router.simulator.traffic.request import Request
from services.router.simulator.vendor import VendorModel

_Positive = Annotated[float, pydantic.Field(gt=0)]
_NotNegative = Annotated[float, pydantic.Field(ge=0)]
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]
_Name = Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Price(Section):
    """What a provider takes, in USD for a million tokens."""

    input: _NotNegative = 0.0
    output: _NotNegative = 0.0
    cached_input: _NotNegative | None = pydantic.Field(default=None, description="Default: as `input`.")

    def nano_usd(self, input_tokens: int, hit_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost, `hit_tokens` of the prompt cached. A USD for a million is 1000 nano-USD for one."""
        cached = self.input if self.cached_input is None else self.cached_input
        usd = (input_tokens - hit_tokens) * self.input + hit_tokens * cached + output_tokens * self.output
        return round(1e3 * usd)


class Provider(Section):
    """What groups of workers have in common."""

    name: _Name
    role: Literal["primary", "fallback"] = "primary"
    price: Price = Price()
    weight: _Positive = pydantic.Field(default=1.0, description="Of its route, for the strategy `weighted`.")


class Group(Provider):
    """Equal workers with an engine each."""

    workers: int = pydantic.Field(ge=1, le=1024)
    speed: _Positive = pydantic.Field(default=1.0, description="As a multiple of the engine model's own.")
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
    seconds: _Positive
    factor: _Positive = pydantic.Field(default=5.0, description="Of `slows`.")
    share: _Share = pydantic.Field(default=1.0, description="Of `fails`.")


class Generated(Section):
    """Settings of the generator. The defaults resemble Mooncake's conversations in rate and lengths."""

    requests: int = pydantic.Field(default=4000, ge=1)
    requests_per_second: _Positive = 3.4
    burstiness: float = pydantic.Field(default=2.0, ge=0.1, description="Coefficient of variation of the gaps.")
    prefixes: int = pydantic.Field(default=64, ge=1, description="Prefixes that conversations begin with.")
    prefix_tokens: int = pydantic.Field(default=2048, ge=0)
    zipf_exponent: _NotNegative = 1.1
    continue_share: _Share = pydantic.Field(default=0.5, description="Requests that continue a conversation.")
    think_seconds: _Positive = pydantic.Field(default=30.0, description="Mean time between two turns.")
    turn_tokens: _Positive = pydantic.Field(default=2400.0, description="Median of what a turn adds; lognormal.")
    turn_sigma: _NotNegative = 1.2
    output_tokens: _Positive = pydantic.Field(default=250.0, description="Median of an answer; lognormal.")
    output_sigma: _NotNegative = 0.8
    context_tokens: int = pydantic.Field(default=120_000, ge=1, description="A conversation is begun anew beyond that.")
    block_tokens: int = pydantic.Field(default=512, ge=1)


class Traffic(Section):
    """Where requests come from, and how many of them."""

    trace: pathlib.Path | None = pydantic.Field(default=None, description="A trace; default: the generator.")
    generated: Generated = Generated()
    rate: _Positive = pydantic.Field(default=1.0, description="Time is divided by this.")
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
    share: _Positive = pydantic.Field(default=1.0, description="Of the traffic, relative to the others.")
    weight: _Positive = pydantic.Field(default=1.0, description="Of what there is, relative to the others.")
    criticality: Literal["unspecified", "sheddable", "sheddable_plus", "critical", "critical_plus"] = "unspecified"
    first_seconds: _Positive | None = pydantic.Field(default=None, description="Own limit for the first token.")
    token_seconds: _Positive | None = pydantic.Field(default=None, description="Own limit for each further one.")
    max_cost_usd: _NotNegative | None = pydantic.Field(default=None, description="Most that a request may cost.")


class Slo(Section):
    """What a good answer is: the first token after `first_seconds` and a time for the prompt, the others in step."""

    first_seconds: _Positive = 2.0
    prompt_tokens_per_second: _Positive = 8000.0
    token_seconds: _Positive = 0.05

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
    report_seconds: _Positive = pydantic.Field(default=0.05, description="Least time between two reports.")
    silence_seconds: _Positive = pydantic.Field(default=1.0, description="Most time between two reports.")
    share_load: bool = pydantic.Field(default=True, description="Whether reports count what other routers have placed.")
    share_prefixes: bool = pydantic.Field(default=True, description="Whether reports tell what others have had read.")
    told_cache: _Positive = pydantic.Field(default=1.0, description="Size of caches as reported, by their true one.")
    tell_slo: bool = pydantic.Field(default=True, description="Whether routers are told what is good.")
    continuable: bool = pydantic.Field(default=True, description="Whether broken answers may be gone on with.")
    tell_output: bool = pydantic.Field(default=False, description="Whether requests are limited to their output.")


class Scenario(Section):
    """The whole."""

    name: _Name
    summary: str = ""
    fleet: tuple[Group, ...] = ()
    vendors: tuple[VendorGroup, ...] = ()
    faults: tuple[Fault, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    traffic: Traffic = Traffic()
    slo: Slo = Slo()
    wiring: Wiring = Wiring()
    router: Router = Router()
    queue: Queue = Queue()
    flags: Flags = Flags()
    policies: tuple[str, ...] = pydantic.Field(
        default=("least_loaded", "round_robin"), description="NAME[:key=value,…]"
    )
    seeds: int = pydantic.Field(default=10, ge=1)
    warmup_share: float = pydantic.Field(default=0.1, ge=0, lt=1, description="Of the requests; they do not count.")
    timeout_seconds: _Positive = pydantic.Field(default=600.0, description="When callers give up.")

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [group.name for group in self.providers]
        if not names:
            raise ValueError("there is neither a fleet nor a vendor")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`{name}` is the name of two groups")
        for fault in self.faults:
            if not self.workers_of(fault.worker):
                raise ValueError(f"faults: there is no worker or group `{fault.worker}`")
        sizes = {group.engine.block_tokens for group in self.fleet} | {self.traffic.generated.block_tokens}
        if len(sizes) > 1:
            raise ValueError("engines and the generator need blocks of the same size")
        keys = [tenant.key for tenant in self.tenants]
        if len(set(keys)) < len(keys):
            raise ValueError("two tenants have the same key")
        return self

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The fleet's groups, then the vendors."""
        return (*self.fleet, *self.vendors)

    @property
    def block_tokens(self) -> int:
        """Tokens of a block of prompts."""
        return self.traffic.generated.block_tokens

    def worker_names(self) -> list[str]:
        """The workers of the fleet, then one of each vendor, as the decision core names them."""
        local = [f"{group.name}-{index}" for group in self.fleet for index in range(group.workers)]
        return local + [f"{vendor.name}-0" for vendor in self.vendors]

    def workers_of(self, name: str) -> list[str]:
        """The workers that a fault's `worker` means."""
        return [worker for worker in self.worker_names() if name in ("*", worker, worker.rpartition("-")[0])]

    def at_rate(self, rate: float) -> "Scenario":
        """The same at another rate of traffic."""
        return self.model_copy(update={"traffic": self.traffic.model_copy(update={"rate": rate})})


def built_in() -> list[str]:
    """The names of the scenarios that come with the package."""
    folder = importlib.resources.files(__package__) / "scenarios"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def load(name: str) -> Scenario:
    """A built-in scenario by its name, or one from a file.

    Raises:
        ConfigError: naming file and line of every problem.
    """
    path = pathlib.Path(name)
    if path.suffix in (".yaml", ".yml"):
        return config.load(path, Scenario, {})
    known = built_in()
    if name not in known:
        raise config.ConfigError(
            [f"no scenario `{name}`; there are {', '.join(known)}, or name a file ending in .yaml"]
        )
    text = (importlib.resources.files(__package__) / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8")
    return config.parse(text, Scenario, source=f"{name}.yaml", environment={})
