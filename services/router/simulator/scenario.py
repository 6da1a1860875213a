"""A scenario: a fleet, what goes wrong with it, who calls, and what counts as good. Read from YAML, never changed."""

import importlib.resources
import pathlib
from collections.abc import Mapping
from typing import Any, Self

import pydantic

from services.chassis import config
from services.config.base import Section
from services.config.flags import Flags
from services.config.model import Queue
from services.config.router import Router
from services.router.simulator.sections import (
    Fault,
    Group,
    Name,
    Positive,
    Provider,
    Slo,
    Tenant,
    Traffic,
    VendorGroup,
    Wiring,
)


class Scenario(Section):
    """The whole."""

    name: Name
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
    timeout_seconds: Positive = pydantic.Field(default=600.0, description="When callers give up.")

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

    def changed(self, settings: Mapping[str, object]) -> "Scenario":
        """The same with other settings, by their names with dots, such as `wiring.routers` or `fleet.0.speed`.

        Raises:
            ConfigError: there is no such setting, or it cannot be that.
        """
        data: Any = self.model_dump()
        for name, value in settings.items():
            at, parts = data, name.split(".")
            try:
                for part in parts[:-1]:
                    at = at[int(part)] if isinstance(at, tuple) else at[part]
                if parts[-1] not in at:
                    raise KeyError(name)
                at[parts[-1]] = value
            except (KeyError, IndexError, ValueError, TypeError):
                raise config.ConfigError([f"no setting `{name}`"]) from None
        try:
            return Scenario.model_validate(data)
        except pydantic.ValidationError as error:
            raise config.ConfigError([str(problem["msg"]) for problem in error.errors()]) from None

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
