"""Who may call: keys, or whoever reaches the edge; and who may make keys."""

from typing import Annotated, Literal, Self

import pydantic

from services.chassis.mistake import Misfit
from services.config.base import Section
from services.config.places import is_address

_Name = Annotated[str, pydantic.Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]

Right = Literal["keys", "usage", "drains"]
Scope = Literal["generate", "embed", "models", "explain", "overview"]
Criticality = Literal["sheddable", "sheddable-plus", "critical", "critical-plus"]


class Access(Section):
    """Who may call the gateways."""

    keyless: bool = pydantic.Field(
        default=False, description="Whoever reaches the edge may use everything, without a key. Only on loopback."
    )
    pepper: str = pydantic.Field(
        default="pepper.key",
        description="File of the secrets under which keys are stored, the one for new keys first; made where missing.",
    )
    cached_keys: int = pydantic.Field(
        default=10_000, ge=1, le=1_000_000, description="Most keys that a gateway remembers while it runs."
    )
    assumed_output_tokens: int = pydantic.Field(
        default=4096,
        ge=1,
        description="Tokens reserved for the answer of a request that names no limit, where there is a budget.",
    )


class Ceiling(Section):
    """The most that keys may do which an operator makes, now and later. What is not named has no ceiling."""

    owners: tuple[str, ...] | None = pydantic.Field(
        default=None, description="Owners that its keys may have, and whose keys and usage it may see at all."
    )
    models: tuple[str, ...] | None = pydantic.Field(default=None, description="Models that its keys may use.")
    scopes: tuple[Scope, ...] | None = pydantic.Field(default=None, description="What its keys may do.")
    budget_usd_per_month: float | None = pydantic.Field(
        default=None, ge=0, le=1e9, allow_inf_nan=False, description="Of each of its keys."
    )
    criticality: Criticality | None = pydantic.Field(
        default=None, description="The most critical that requests of its keys may be."
    )
    weight: float | None = pydantic.Field(
        default=None, gt=0, le=1000, allow_inf_nan=False, description="Most that each of its keys weighs beside others."
    )


class Operator(Section):
    """Somebody who may call the admin service."""

    name: _Name
    credential: str = pydantic.Field(min_length=1, description="File of its credential; made where it is missing.")
    may: tuple[Right, ...] = pydantic.Field(default=("keys", "usage"), min_length=1)
    ceiling: Ceiling = Ceiling()


class Admin(Section):
    """The admin service: a process, an address and credentials of its own."""

    listen: str = pydantic.Field(default="unix:run/admin.sock", description="unix:PATH or HOST:PORT.")
    operators: tuple[Operator, ...] = pydantic.Field(
        default=(Operator(name="root", credential="admin.key", may=("keys", "usage", "drains")),), min_length=1
    )

    @pydantic.field_validator("listen")
    @classmethod
    def _an_address(cls, listen: str) -> str:
        if not is_address(listen):
            raise ValueError(f"`{listen}` is no address: unix:PATH or HOST:PORT")
        return listen

    @pydantic.model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [operator.name for operator in self.operators]
        for number, name in enumerate(names):
            if name in names[:number]:
                message = f"two operators are named `{name}`: the audit could not tell them apart"
                raise Misfit(message, "operators", number, "name")
        return self

    def ceilings(self) -> dict[str, Ceiling]:
        """The ceilings of operators who have one, by their names."""
        none = Ceiling()
        return {operator.name: operator.ceiling for operator in self.operators if operator.ceiling != none}
