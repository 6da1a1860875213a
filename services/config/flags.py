"""Flags: what is on, for all requests, a share of them, or some."""

import hashlib
from collections.abc import Mapping
from typing import Annotated

import pydantic

from services.config.base import Section


class Flag(Section):
    """For which requests something is on. In the file `true` and `false` will do, for all and for none."""

    share: float = pydantic.Field(default=1.0, ge=0, le=1, description="Share of the requests, by their ids.")
    models: tuple[str, ...] = pydantic.Field(default=(), description="Only requests for these models. Empty: any.")
    keys: tuple[Annotated[str, pydantic.Field(pattern=r"^[a-z0-9]{16}$")], ...] = pydantic.Field(
        default=(), description="Only requests with these keys, by their public ids. Empty: any."
    )


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return {"share": float(value)}
    if not isinstance(value, (Mapping, Flag)):
        raise ValueError("must be true, false, or a mapping such as `{share: 0.1}`")
    return value


AnyFlag = Annotated[Flag, pydantic.BeforeValidator(_flag, json_schema_input_type=bool | Flag)]
OFF = Flag(share=0.0)


class Flags(Section):
    """What may be switched on and off."""

    hedging: AnyFlag = pydantic.Field(
        default=OFF, description="A second attempt beside one that is slow to begin; see `router.hedge`."
    )
    continuation: AnyFlag = pydantic.Field(
        default=Flag(), description="Going on with a broken plain-text answer; see `router.continuation`."
    )


def applies(flag: Flag, name: str, *, generation_id: str, model: str, key_id: str = "") -> bool:
    """Whether the flag of that name is on for a request.

    The same request always has the same answer, wherever it is asked for. Flags draw apart from each other.

    Args:
        flag: the setting.
        name: what is switched by it.
        generation_id: identifies the request.
        model: the model's own name, whatever the caller called it.
        key_id: the public id of the caller's key; empty without keys.
    """
    if flag.models and model not in flag.models:
        return False
    if flag.keys and key_id not in flag.keys:
        return False
    return flag.share > 0 and (flag.share >= 1 or point(name, generation_id) < flag.share)


def point(name: str, generation_id: str) -> float:
    """A number from 0 up to 1 that is evenly spread over requests and always the same for one, for each name."""
    digest = hashlib.blake2b(f"{name}\0{generation_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
