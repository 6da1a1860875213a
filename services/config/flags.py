"""Flags: what is on, for all requests, a share of them, or some."""

from typing import Annotated

import pydantic

from services.config.base import Section


class Flag(Section):
    """For which requests something is on. In the file `true` and `false` will do, for all and for none."""

    share: float = pydantic.Field(default=1.0, ge=0, le=1, description="Share of the requests, by their ids.")
    models: tuple[str, ...] = pydantic.Field(default=(), description="Only requests for these models. Empty: any.")


def _flag(value: object) -> object:
    return {"share": float(value)} if isinstance(value, bool) else value


AnyFlag = Annotated[Flag, pydantic.BeforeValidator(_flag)]
OFF = Flag(share=0.0)


class Flags(Section):
    """What may be switched on and off."""

    hedging: AnyFlag = OFF
    continuation: AnyFlag = Flag()
