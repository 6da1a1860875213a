"""What a key may do."""

import dataclasses
from typing import Literal

Content = Literal["none", "hashed", "redacted", "stored"]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a key; None is none.

    Attributes:
        requests_per_minute: requests accepted in a minute by the clock, UTC.
        tokens_per_minute: tokens of prompts and answers in such a minute.
        concurrency: requests at once.
        usd_per_day: nano-USD in a day, UTC.
        usd_per_month: nano-USD in a month, UTC.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    usd_per_day: int | None = None
    usd_per_month: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """A key as gateways know it: what it may do, never what proves it.

    Attributes:
        key_id: its public part.
        owner: whose it is.
        models: names of models it may use; empty is all. So are `providers` and `scopes`.
        expires_at: seconds since 1970; None is never.
        limits: what it may use.
        criticality: the most critical that its requests may be, a value of Criticality; 0 is as CRITICAL.
        weight: its share beside other keys.
        content: what is kept of what is said.
        content_retention_days: how long.
        strict: whether an answer ends only once its record is on disk, and the key is refused without room for it.
    """

    key_id: str
    owner: str
    models: frozenset[str] = frozenset()
    providers: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    expires_at: float | None = None
    limits: Limits = Limits()
    criticality: int = 0
    weight: float = 1.0
    content: Content = "none"
    content_retention_days: int = 30
    strict: bool = True


# Whoever reaches a mesh without keys.
ANYBODY = Grant(key_id="", owner="", strict=False)
# Whoever shows no key where keys are needed: for nothing but what is open to everybody.
STRANGER = Grant(key_id="", owner="", scopes=frozenset({"nothing"}), strict=False)
